import { GridError } from './errors.js';
/** The WebSocket subprotocol of the frames below as JSON. */
export const subprotocol = 'grid.v1.json';
/** What a server reads at most when its `welcome` has not said otherwise yet, in bytes. */
export const defaultMaxFrameBytes = 65_536;
/** The close codes that the client knows by name. */
export const closeCodes = { superseded: 4500, unauthorized: 4501, revoked: 4503, sessionClosed: 4505 };
/** Whether a client may reconnect after a close: the range 45xx says no. */
export function mayReconnect(closeCode) {
    return closeCode < 4500 || closeCode > 4599;
}
const text = (value) => typeof value === 'string';
const count = (value) => Number.isSafeInteger(value) && value >= 0;
const flag = (value) => typeof value === 'boolean';
const optional = (check) => (value) => value === undefined || check(value);
const oneOf = (...names) => (value) => names.includes(value);
const subscriptionFields = { channel: text, epoch: text, head: count, cursor: count };
const subscriptionShape = Object.entries(subscriptionFields);
const isSubscription = (value) => matches(value, subscriptionShape);
const shapes = new Map(Object.entries({
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
function matches(value, shape) {
    return typeof value === 'object' && value !== null
        && shape.every(([field, check]) => check(value[field]));
}
/**
 * Reads a frame of the server. Undefined for a type that this version does not know, which is to be ignored; throws a
 * `protocol` error for what is no frame.
 */
export function parseFrame(source) {
    let value;
    try {
        value = JSON.parse(source);
    }
    catch (cause) {
        throw new GridError('protocol', 'The server sent text that is not JSON.', { cause });
    }
    const type = value?.type;
    if (typeof type !== 'string') {
        throw new GridError('protocol', 'The server sent JSON that is no frame.');
    }
    const shape = shapes.get(type);
    if (shape === undefined) {
        return undefined;
    }
    // `subscriptions` may be left out when there is none.
    const frame = type === 'welcome' ? { subscriptions: [], ...value } : value;
    if (!matches(frame, shape)) {
        throw new GridError('protocol', `The server sent a malformed "${type}" frame.`);
    }
    return frame;
}
/** Whether a name is within the grammar of channel names. */
export function isChannelName(name) {
    return typeof name === 'string' && /^[A-Za-z0-9_.:~@-]{1,200}$/.test(name);
}
/** Whether a start point is a position. */
export function isPosition(from) {
    return typeof from === 'object' && 'epoch' in from;
}
/** Whether the UTF-8 form of `text` is longer than `limit` bytes. Counts only when the number of characters leaves it open. */
export function exceedsBytes(source, limit) {
    return source.length > limit || (source.length * 3 > limit && utf8Length(source) > limit);
}
/** The length of the UTF-8 form of `text`, in bytes. */
export function utf8Length(source) {
    let bytes = 0;
    for (let i = 0; i < source.length; i++) {
        const unit = source.charCodeAt(i);
        // Each half of a surrogate pair counts 2, the pair 4.
        bytes += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3;
    }
    return bytes;
}
/** A frame as it may be shown: as on the wire, but for the tokens in it. */
export function redact(source) {
    return /"(?:token|resumeToken)"/.test(source) && /"type":"(?:hello|auth|welcome)"/.test(source)
        ? source.replace(/"(token|resumeToken)":"(?:[^"\\]|\\.)*"/g, '"$1":"…"')
        : source;
}
/** The error that an `error` frame stands for. */
export function errorOf(frame, channel) {
    return new GridError(frame.code, frame.message, {
        ...(channel === undefined ? {} : { channel }),
        ...(frame.retryAfterMs === undefined ? {} : { retryAfterMs: frame.retryAfterMs }),
        // A publish may have been stored although its answer was lost inside the server.
        outcomeUnknown: frame.code === 'unavailable' || frame.code === 'internal',
    });
}
