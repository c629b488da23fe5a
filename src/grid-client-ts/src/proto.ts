import { toBase64 } from './base64.js';
import { jsonOf, type ClientFrame, type Codec, type HelloFrame } from './codec.js';
import { GridError, describe, type GridErrorCode } from './errors.js';
import {
  isPosition, redact,
  type GapReason, type MessageFrame, type Position, type ServerFrame, type StartPoint, type SubscriptionState,
} from './frames.js';
import { Reader, Writer } from './wire.js';

// The values of the enums of grid.v1.proto, in their order from 1.
const states = ['new', 'resumed', 'expired'] as const;
const reasons: readonly GapReason[] = ['retention', 'epoch', 'dropped'];
const codes: readonly GridErrorCode[] = [
  'bad_frame', 'unauthorized', 'forbidden', 'not_subscribed', 'too_large', 'rate_limited', 'quota_exceeded', 'conflict',
  'invalid_position', 'unavailable', 'internal',
];

/**
 * The subprotocol `grid.v1.proto`: Protocol Buffers in binary messages, smaller than JSON and without base64 for bytes. It is a module
 * of its own, `@grid/client/proto`, so that those who do not use it do not load it.
 */
export const protoCodec: Codec = {
  subprotocol: 'grid.v1.proto',
  encode: (frame) => ({ data: bytesOf(frame), text: () => redact(jsonOf(frame)) }),
  decode(data) {
    const bytes = viewOf(data);
    if (bytes === undefined) {
      throw new GridError('protocol', 'The server sent a text frame on a binary protocol.');
    }
    try {
      return read(bytes);
    } catch (cause) {
      throw new GridError('protocol', `The server sent bytes that are no frame: ${describe(cause)}`, { cause });
    }
  },
  textOf(data) {
    const bytes = viewOf(data);
    if (bytes === undefined) {
      return String(data);
    }
    try {
      const frame = read(bytes);
      return redact(JSON.stringify(frame, (_, value: unknown) => (value instanceof Uint8Array ? toBase64(value) : value)) ?? `(${bytes.length} bytes)`);
    } catch {
      return `(${bytes.length} bytes that are no frame)`;
    }
  },
};

function viewOf(data: unknown): Uint8Array | undefined {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : data instanceof ArrayBuffer ? new Uint8Array(data) : undefined;
}

const contentField = { hello: 2, auth: 3, subscribe: 4, unsubscribe: 5, publish: 6, ack: 7, ping: 8 } as const;

function bytesOf(frame: ClientFrame): Uint8Array {
  return new Writer()
    .number(1, 'id' in frame ? frame.id : undefined)
    .message(contentField[frame.type], (content) => write(content, frame))
    .finish();
}

function write(writer: Writer, frame: ClientFrame): void {
  switch (frame.type) {
    case 'hello':
      writeHello(writer, frame);
      break;
    case 'auth':
      writer.text(1, frame.token);
      break;
    case 'subscribe':
      writer.text(1, frame.channel);
      writeStart(writer, frame.from);
      break;
    case 'unsubscribe':
      writer.text(1, frame.channel);
      break;
    case 'publish':
      writer.text(1, frame.channel);
      if (typeof frame.payload === 'string') {
        writer.text(2, frame.payload);
      } else {
        writer.bytes(3, frame.payload);
      }
      writer.text(4, frame.key).text(5, frame.event).number(6, frame.ifOffset);
      break;
    case 'ack':
      for (const [channel, offset] of Object.entries(frame.cursors)) {
        writer.message(1, (entry) => entry.text(1, channel).number(2, offset));
      }
      break;
  }
}

function writeHello(writer: Writer, { token, client, resume }: HelloFrame): void {
  writer.text(1, token).text(2, client);
  if (resume === undefined) {
    return;
  }
  writer.message(3, (inner) => {
    inner.text(1, resume.session).text(2, resume.token);
    for (const [channel, position] of Object.entries(resume.cursors ?? {})) {
      inner.message(3, (entry) => entry.text(1, channel).message(2, (place) => writePosition(place, position)));
    }
  });
}

function writeStart(writer: Writer, from: StartPoint): void {
  if (isPosition(from)) {
    writer.message(3, (place) => writePosition(place, from));
  } else if (typeof from === 'object') {
    writer.number(4, from.last);
  } else {
    // A word that is none becomes an anchor that is none, which the server refuses.
    writer.number(2, ['now', 'start'].indexOf(from) + 1);
  }
}

function writePosition(writer: Writer, { epoch, offset }: Position): void {
  writer.text(1, epoch).number(2, offset);
}

function read(bytes: Uint8Array): ServerFrame | undefined {
  const envelope = new Reader(bytes);
  let id: number | undefined;
  let kind = 0;
  let content = new Reader(new Uint8Array(0));
  while (envelope.next()) {
    if (envelope.field === 1) {
      id = envelope.number();
    } else if (envelope.field <= 11) {
      kind = envelope.field;
      content = new Reader(envelope.bytes());
    }
  }
  const numbered = id === undefined ? {} : { id };
  switch (kind) {
    case 2:
      return readWelcome(content);
    case 3:
      return { type: 'authorized', ...numbered, expiresAt: new Date(readFields(content).numbers[1]).toISOString() };
    case 4: {
      const { texts: [channel, epoch], numbers: [, , , head, cursor] } = readFields(content);
      return { type: 'subscribed', ...numbered, channel, epoch, head, cursor };
    }
    case 5:
      return { type: 'unsubscribed', ...numbered, channel: readFields(content).texts[0] };
    case 6: {
      const { texts: [channel, epoch], numbers: [, , , offset, duplicate] } = readFields(content);
      return { type: 'published', ...numbered, channel, epoch, offset, duplicate: duplicate !== 0 };
    }
    case 7:
      return readMessage(content);
    case 8: {
      const { texts: [channel, epoch], numbers: [, , , from, to, reason] } = readFields(content);
      // What a client does about a gap is the same for every reason.
      return { type: 'gap', channel, epoch, from, to, reason: reasons[reason - 1] ?? 'dropped' };
    }
    case 9:
      return readError(content, numbered);
    case 10: {
      const { texts: [reason], numbers: [, , reconnectInMs] } = readFields(content);
      return { type: 'goaway', reason, reconnectInMs };
    }
    case 11:
      return { type: 'pong' };
    default:
      return undefined;
  }
}

/** The smaller messages have texts, in the fields 1 and 2, and numbers, in 1 to 5: here by their fields, empty or 0 where left out. */
function readFields(reader: Reader): { texts: [string, string]; numbers: [number, number, number, number, number, number] } {
  const texts: [string, string] = ['', ''];
  const numbers: [number, number, number, number, number, number] = [0, 0, 0, 0, 0, 0];
  while (reader.next()) {
    if (reader.isText && reader.field <= 2) {
      texts[reader.field - 1] = reader.text();
    } else if (reader.isNumber && reader.field < numbers.length) {
      numbers[reader.field] = reader.number();
    }
  }
  return { texts, numbers };
}

function readMessage(reader: Reader): MessageFrame {
  const frame = { type: 'message' as const, channel: '', offset: 0, at: 0 };
  const optional: { data?: unknown; bytes?: Uint8Array; key?: string; event?: string; from?: string } = {};
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        frame.channel = reader.text();
        break;
      case 2:
        frame.offset = reader.number();
        break;
      case 3:
        frame.at = reader.number();
        break;
      case 4:
        optional.data = JSON.parse(reader.text());
        break;
      case 5:
        // A copy: the application may keep it, and what it sees must be no part of a larger buffer.
        optional.bytes = reader.bytes().slice();
        break;
      case 6:
        optional.key = reader.text();
        break;
      case 7:
        optional.event = reader.text();
        break;
      case 8:
        optional.from = reader.text();
        break;
    }
  }
  return { ...frame, ...optional };
}

function readError(reader: Reader, numbered: { id?: number }): ServerFrame {
  let code: GridErrorCode = 'internal';
  let message = '';
  let retryAfterMs: number | undefined;
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        code = codes[reader.number() - 1] ?? 'internal';
        break;
      case 2:
        message = reader.text();
        break;
      case 3:
        retryAfterMs = reader.number();
        break;
    }
  }
  return { type: 'error', ...numbered, code, message, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

function readWelcome(reader: Reader): ServerFrame {
  const texts = ['', ''];
  const numbers = [0, 0, 0, 0];
  const subscriptions: SubscriptionState[] = [];
  while (reader.next()) {
    if (reader.field <= 2) {
      texts[reader.field - 1] = reader.text();
    } else if (reader.field <= 6) {
      numbers[reader.field - 3] = reader.number();
    } else if (reader.field === 7) {
      const { texts: [channel, epoch], numbers: [, , , head, cursor] } = readFields(new Reader(reader.bytes()));
      subscriptions.push({ channel, epoch, head, cursor });
    }
  }
  const [session, resumeToken] = texts as [string, string];
  const [stateNumber, resumeWindowMs, heartbeatMs, maxFrameBytes] = numbers as [number, number, number, number];
  const state = states[stateNumber - 1];
  if (state === undefined) {
    throw new RangeError('A welcome has a state that is not known.');
  }
  return { type: 'welcome', session, resumeToken, state, resumeWindowMs, heartbeatMs, maxFrameBytes, subscriptions };
}
