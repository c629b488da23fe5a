import { GridError, type GridErrorCode } from './errors.js';

/** The WebSocket subprotocol of the frames below as JSON. */
export const subprotocol = 'grid.v1.json';

/** What a server reads at most when its `welcome` has not said otherwise yet, in bytes. */
export const defaultMaxFrameBytes = 65_536;

/** The close codes that the client knows by name. */
export const closeCodes = { superseded: 4500, unauthorized: 4501, revoked: 4503, sessionClosed: 4505 } as const;

/** Whether a client may reconnect after a close: the range 45xx says no. */
export function mayReconnect(closeCode: number): boolean {
  return closeCode < 4500 || closeCode > 4599;
}

/** A place in a channel. Offsets of different epochs cannot be compared. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/**
 * Where a subscription starts: `now` (only what comes later), `start` (the oldest message kept), after a position, or with the
 * last so many messages.
 */
export type StartPoint = 'now' | 'start' | Position | { readonly last: number };

/** Why messages will never be delivered. */
export type GapReason = 'retention' | 'epoch' | 'dropped';

/** Says that the offsets `from` to `to` of `epoch` will never be delivered. With a new epoch, `to` can be `from - 1`. */
export interface Gap {
  readonly channel: string;
  readonly epoch: string;
  readonly from: number;
  readonly to: number;
  readonly reason: GapReason;
}

export interface SubscriptionState {
  readonly channel: string;
  readonly epoch: string;
  readonly head: number;
  readonly cursor: number;
}

export interface WelcomeFrame {
  readonly type: 'welcome';
  readonly session: string;
  readonly resumeToken: string;
  readonly state: 'new' | 'resumed' | 'expired';
  readonly resumeWindowMs: number;
  readonly heartbeatMs: number;
  readonly maxFrameBytes: number;
  readonly subscriptions: readonly SubscriptionState[];
}

export interface SubscribedFrame extends SubscriptionState {
  readonly type: 'subscribed';
  readonly id?: number;
}

export interface UnsubscribedFrame {
  readonly type: 'unsubscribed';
  readonly id?: number;
  readonly channel: string;
}

export interface PublishedFrame {
  readonly type: 'published';
  readonly id?: number;
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
  readonly duplicate: boolean;
}

export interface MessageFrame {
  readonly type: 'message';
  readonly channel: string;
  readonly offset: number;
  readonly at: number;
  readonly data?: unknown;
  /** Bytes: as base64 where the codec has no other form for them, else as they are. */
  readonly data64?: string;
  readonly bytes?: Uint8Array;
  readonly key?: string;
  readonly event?: string;
  readonly from?: string;
}

export interface GapFrame extends Gap {
  readonly type: 'gap';
}

export interface ErrorFrame {
  readonly type: 'error';
  readonly id?: number;
  readonly code: GridErrorCode;
  readonly message: string;
  readonly retryAfterMs?: number;
}

export interface GoAwayFrame {
  readonly type: 'goaway';
  readonly reason: string;
  readonly reconnectInMs: number;
}

export interface AuthorizedFrame {
  readonly type: 'authorized';
  readonly id?: number;
  readonly expiresAt: string;
}

export interface PongFrame {
  readonly type: 'pong';
}

/** The frames that answer a request by its `id`. */
export type ReplyFrame = SubscribedFrame | UnsubscribedFrame | PublishedFrame | AuthorizedFrame | ErrorFrame;

/** The frames that come unasked. */
export type PushFrame = MessageFrame | GapFrame | GoAwayFrame | ErrorFrame;

export type ServerFrame = ReplyFrame | PushFrame | WelcomeFrame | PongFrame;

type Check = (value: unknown) => boolean;
const text: Check = (value) => typeof value === 'string';
const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const flag: Check = (value) => typeof value === 'boolean';
const optional = (check: Check): Check => (value) => value === undefined || check(value);
const oneOf = (...names: string[]): Check => (value) => names.includes(value as string);

/** Fields and their checks, as pairs: walked for every frame. */
type Shape = readonly (readonly [field: string, check: Check])[];

const subscriptionFields = { channel: text, epoch: text, head: count, cursor: count };
const subscriptionShape: Shape = Object.entries(subscriptionFields);
const isSubscription: Check = (value) => matches(value, subscriptionShape);

const shapes: ReadonlyMap<string, Shape> = new Map(Object.entries<{ readonly [field: string]: Check }>({
  welcome: {
    session: text, resumeToken: text, state: oneOf('new', 'resumed', 'expired'), resumeWindowMs: count, heartbeatMs: count,
    maxFrameBytes: count, subscriptions: (value) => Array.isArray(value) && value.every(isSubscription),
  },
  subscribed: { id: optional(count), ...subscriptionFields },
  unsubscribed: { id: optional(count), channel: text },
  published: { id: optional(count), channel: text, epoch: text, offset: count, duplicate: flag },
  message: {
    channel: text, offset: count, at: count, data64: optional(text), key: optional(text), event: optional(text),
    from: optional(text),
  },
  gap: { channel: text, epoch: text, from: count, to: count, reason: text },
  error: { id: optional(count), code: text, message: text, retryAfterMs: optional(count) },
  goaway: { reason: text, reconnectInMs: count },
  authorized: { id: optional(count), expiresAt: text },
  pong: {},
}).map(([type, fields]) => [type, Object.entries(fields)]));

function matches(value: unknown, shape: Shape): boolean {
  return typeof value === 'object' && value !== null
    && shape.every(([field, check]) => check((value as Record<string, unknown>)[field]));
}

/**
 * Reads a frame of the server. Undefined for a type that this version does not know, which is to be ignored; throws a
 * `protocol` error for what is no frame.
 */
export function parseFrame(source: string): ServerFrame | undefined {
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (cause) {
    throw new GridError('protocol', 'The server sent text that is not JSON.', { cause });
  }
  const type = (value as { type?: unknown } | null)?.type;
  if (typeof type !== 'string') {
    throw new GridError('protocol', 'The server sent JSON that is no frame.');
  }
  const shape = shapes.get(type);
  if (shape === undefined) {
    return undefined;
  }
  // `subscriptions` may be left out when there is none.
  const frame = type === 'welcome' ? { subscriptions: [], ...(value as object) } : value;
  if (!matches(frame, shape)) {
    throw new GridError('protocol', `The server sent a malformed "${type}" frame.`);
  }
  return frame as ServerFrame;
}

/** Whether a name is within the grammar of channel names. */
export function isChannelName(name: unknown): name is string {
  return typeof name === 'string' && /^[A-Za-z0-9_.:~@-]{1,200}$/.test(name);
}

/** Whether a start point is a position. */
export function isPosition(from: StartPoint | undefined): from is Position {
  return typeof from === 'object' && 'epoch' in from;
}

/** Whether the UTF-8 form of `text` is longer than `limit` bytes. Counts only when the number of characters leaves it open. */
export function exceedsBytes(source: string, limit: number): boolean {
  return source.length > limit || (source.length * 3 > limit && utf8Length(source) > limit);
}

/** The length of the UTF-8 form of `text`, in bytes. */
export function utf8Length(source: string): number {
  let bytes = 0;
  for (let i = 0; i < source.length; i++) {
    const unit = source.charCodeAt(i);
    // Each half of a surrogate pair counts 2, the pair 4.
    bytes += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3;
  }
  return bytes;
}

/** A frame as it may be shown: as on the wire, but for the tokens in it. */
export function redact(source: string): string {
  return /"(?:token|resumeToken)"/.test(source) && /"type":"(?:hello|auth|welcome)"/.test(source)
    ? source.replace(/"(token|resumeToken)":"(?:[^"\\]|\\.)*"/g, '"$1":"…"')
    : source;
}

/** The error that an `error` frame stands for. */
export function errorOf(frame: ErrorFrame, channel?: string): GridError {
  return new GridError(frame.code, frame.message, {
    ...(channel === undefined ? {} : { channel }),
    ...(frame.retryAfterMs === undefined ? {} : { retryAfterMs: frame.retryAfterMs }),
    // A publish may have been stored although its answer was lost inside the server.
    outcomeUnknown: frame.code === 'unavailable' || frame.code === 'internal',
  });
}
