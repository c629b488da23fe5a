export { GridClient } from './client.js';
export { GridError } from './errors.js';
