// Frames of grid.v1.proto by a library that knows nothing of the client's own codec, to and from the JSON form of the same frames.
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import type { ClientFrame } from './fake-server.js';

const root = protobuf.loadSync(fileURLToPath(new URL('../../Grid.Protocol/Proto/grid.v1.proto', import.meta.url)));
const clientType = root.lookupType('grid.v1.ClientFrame');
const serverType = root.lookupType('grid.v1.ServerFrame');
const enumNames = { state: 'STATE_', reason: 'REASON_', code: 'ERROR_CODE_' } as const;

/** The JSON form of a client's frame. */
export function clientFrameOf(bytes: Uint8Array): ClientFrame {
  const decoded = clientType.toObject(clientType.decode(bytes), { longs: Number, enums: String, oneofs: true }) as Record<string, any>;
  const type = decoded.frame as string;
  const { id } = decoded;
  const { json, binary, payload, position, last, anchor, from, ...fields } = decoded[type] as Record<string, any>;
  const start = from === 'position' ? { epoch: position.epoch, offset: position.offset ?? 0 } : from === 'last' ? { last }
    : anchor === 'ANCHOR_START' ? 'start' : anchor === 'ANCHOR_NOW' ? 'now' : undefined;
  for (const name of Object.keys(fields)) {
    if (name.startsWith('_')) {
      delete fields[name];
    }
  }
  for (const [channel, cursor] of Object.entries<any>(fields.resume?.cursors ?? {})) {
    fields.resume.cursors[channel] = { epoch: cursor.epoch, offset: cursor.offset ?? 0 };
  }
  return {
    type,
    ...(id === undefined ? {} : { id }),
    ...fields,
    ...(start === undefined ? {} : { from: start }),
    ...(json === undefined ? {} : { data: JSON.parse(Buffer.from(json).toString()) }),
    ...(binary === undefined ? {} : { data64: Buffer.from(binary).toString('base64') }),
  };
}

/** The bytes of a server's frame that is given in its JSON form. */
export function serverFrameOf({ type, id, ...fields }: ClientFrame): Uint8Array {
  const content: Record<string, unknown> = { ...fields };
  for (const [name, prefix] of Object.entries(enumNames)) {
    // The reason of a goaway is text.
    if (typeof content[name] === 'string' && type !== 'goaway') {
      content[name] = prefix + (content[name] as string).toUpperCase();
    }
  }
  if (type === 'message') {
    if ('data' in content) {
      content.json = Buffer.from(JSON.stringify(content.data));
    }
    if ('data64' in content) {
      content.binary = Buffer.from(content.data64 as string, 'base64');
    }
  }
  if (type === 'authorized') {
    content.expiresAt = Date.parse(content.expiresAt as string);
  }
  return serverType.encode(serverType.fromObject({ ...(id === undefined ? {} : { id }), [type]: content })).finish();
}
