export { GridClient } from './client.js';
export { jsonCodec } from './codec.js';
export { GridError } from './errors.js';
export { GridWebhooks } from './webhook-api.js';
export { verifyWebhook, WebhookError, } from './webhooks.js';
