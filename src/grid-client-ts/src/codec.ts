import { toBase64 } from './base64.js';
import { exceedsBytes, parseFrame, redact, subprotocol, type Position, type ServerFrame, type StartPoint } from './frames.js';
import { GridError } from './errors.js';

export interface HelloFrame {
  readonly type: 'hello';
  readonly token?: string | undefined;
  readonly client?: string | undefined;
  readonly resume?: {
    readonly session: string;
    readonly token: string;
    readonly cursors?: Readonly<Record<string, Position>>;
  };
}

export interface PublishFrame {
  readonly type: 'publish';
  readonly id?: number | undefined;
  readonly channel: string;
  /** The payload: the text of a JSON value, or bytes. */
  readonly payload: string | Uint8Array;
  readonly key?: string | undefined;
  readonly event?: string | undefined;
  readonly ifOffset?: number | undefined;
}

/** The frames of a client that are answered by a frame with their `id`, without the `id`. */
export type RequestFields =
  | { readonly type: 'auth'; readonly token: string }
  | { readonly type: 'subscribe'; readonly channel: string; readonly from: StartPoint }
  | { readonly type: 'unsubscribe'; readonly channel: string };

/** What a client sends. */
export type ClientFrame =
  | HelloFrame
  | PublishFrame
  | (RequestFields & { readonly id: number })
  | { readonly type: 'ack'; readonly cursors: Readonly<Record<string, number>> }
  | { readonly type: 'ping' };

/** A frame as it goes to the socket. */
export interface EncodedFrame {
  readonly data: string | Uint8Array;
  /** The frame as JSON, for people: with `…` for the tokens in it. */
  text(): string;
}

/** How frames become what a WebSocket carries, and back: {@link jsonCodec}, or `protoCodec`. */
export interface Codec {
  /** The WebSocket subprotocol that stands for it. */
  readonly subprotocol: string;
  /** The form of a client's frame. */
  encode(frame: ClientFrame): EncodedFrame;
  /**
   * Reads a frame of the server from what the socket brought: a string, an `ArrayBuffer` or a view of one. Undefined for a type that
   * this version does not know, which is to be ignored; throws a `protocol` error for what is no frame.
   */
  decode(data: unknown): ServerFrame | undefined;
  /** The same as JSON, for people. Never throws. */
  textOf(data: unknown): string;
}

/** The length of what a socket brought: of text in characters, of anything else in bytes. */
export function sizeOf(data: unknown): number {
  return typeof data === 'string' ? data.length : (data as { readonly byteLength?: number } | null)?.byteLength ?? 0;
}

/** Whether a frame is longer than `limit` bytes. */
export function exceeds(frame: EncodedFrame, limit: number): boolean {
  return typeof frame.data === 'string' ? exceedsBytes(frame.data, limit) : frame.data.length > limit;
}

/** The JSON of a client's frame, with the `id` up front and the payload at the end, spliced in as it is. */
export function jsonOf(frame: ClientFrame): string {
  if (frame.type !== 'publish') {
    const { type, id, ...others }: { readonly type: string; readonly id?: number } = frame;
    return JSON.stringify({ type, id, ...others });
  }
  const { type, id, channel, key, event, ifOffset, payload } = frame;
  const head = JSON.stringify({ type, id, channel, key, event, ifOffset });
  const member = typeof payload === 'string' ? `"data":${payload}` : `"data64":"${toBase64(payload)}"`;
  return `${head.slice(0, -1)},${member}}`;
}

/** The subprotocol `grid.v1.json`: text messages. The default. */
export const jsonCodec: Codec = {
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
