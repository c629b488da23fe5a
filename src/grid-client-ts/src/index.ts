export { GridClient, type GridClientEvents, type GridClientOptions } from './client.js';
export type { Clock } from './clock.js';
export { jsonCodec, type ClientFrame, type Codec, type EncodedFrame } from './codec.js';
export { GridError, type GridErrorCode, type GridErrorDetails } from './errors.js';
export type { Gap, GapReason, Position, StartPoint } from './frames.js';
export type { ClientState } from './keeper.js';
export type { PublishOptions, PublishResult } from './publisher.js';
export type { WebSocketFactory, WebSocketLike } from './socket.js';
export type { GridStorage } from './store.js';
export type { Message, SubscribeOptions, Subscription } from './subscription.js';
export type { TokenProvider, TokenReason } from './token.js';
export { GridWebhooks, type GridWebhooksOptions } from './webhook-api.js';
export type * from './webhook-types.js';
export {
  verifyWebhook, WebhookError, type VerifiedWebhook, type WebhookErrorCode, type WebhookHeaders, type WebhookOptions,
} from './webhooks.js';
