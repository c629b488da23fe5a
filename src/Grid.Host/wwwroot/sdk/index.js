export { GridClient } from './client.js';
export { jsonCodec } from './codec.js';
export { GridError } from './errors.js';
export { verifyWebhook, WebhookError, } from './webhooks.js';
