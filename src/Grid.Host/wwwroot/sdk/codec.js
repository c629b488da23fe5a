import { toBase64 } from './base64.js';
import { exceedsBytes, parseFrame, redact, subprotocol } from './frames.js';
import { GridError } from './errors.js';
/** The length of what a socket brought: of text in characters, of anything else in bytes. */
export function sizeOf(data) {
    return typeof data === 'string' ? data.length : data?.byteLength ?? 0;
}
/** Whether a frame is longer than `limit` bytes. */
export function exceeds(frame, limit) {
    return typeof frame.data === 'string' ? exceedsBytes(frame.data, limit) : frame.data.length > limit;
}
/** The JSON of a client's frame, with the `id` up front and the payload at the end, spliced in as it is. */
export function jsonOf(frame) {
    if (frame.type !== 'publish') {
        const { type, id, ...others } = frame;
        return JSON.stringify({ type, id, ...others });
    }
    const { type, id, channel, key, event, ifOffset, payload } = frame;
    const head = JSON.stringify({ type, id, channel, key, event, ifOffset });
    const member = typeof payload === 'string' ? `"data":${payload}` : `"data64":"${toBase64(payload)}"`;
    return `${head.slice(0, -1)},${member}}`;
}
/** The subprotocol `grid.v1.json`: text messages. The default. */
export const jsonCodec = {
    subprotocol,
    encode(frame) {
        const data = jsonOf(frame);
        return { data, text: () => redact(data) };
    },
    decode(data) {
        if (typeof data !== 'string') {
            throw new GridError('protocol', 'The server sent a binary frame on a text protocol.');
        }
        return parseFrame(data);
    },
    textOf: (data) => redact(String(data)),
};
