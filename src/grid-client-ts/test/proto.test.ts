import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonCodec, type ClientFrame } from '@grid/client';
import { protoCodec } from '@grid/client/proto';
import { clientFrameOf, serverFrameOf } from './proto-frames.js';
import { Collector, connected, seeded, serve } from './support.js';

const encode = (frame: ClientFrame): Uint8Array => protoCodec.encode(frame).data as Uint8Array;
const large = Number.MAX_SAFE_INTEGER;

test('frames of the client are read by another library as they were meant', () => {
  const position = { epoch: 'é', offset: large };
  const frames: [ClientFrame, object?][] = [
    [{ type: 'hello', token: 't', client: 'c/1' }],
    [{ type: 'hello', token: '', resume: { session: 's', token: 'r', cursors: { 'room:1': position, 'b': { epoch: 'e', offset: 0 } } } }],
    [{ type: 'auth', id: 1, token: 'x'.repeat(20_000) }],
    [{ type: 'subscribe', id: 2, channel: 'a', from: 'now' }],
    [{ type: 'subscribe', id: 2, channel: 'a', from: 'start' }],
    [{ type: 'subscribe', id: 2, channel: 'a', from: position }],
    [{ type: 'subscribe', id: 127, channel: 'a', from: { last: 1000 } }],
    [{ type: 'unsubscribe', id: 128, channel: 'a' }],
    [{ type: 'ack', cursors: { a: large, b: 2 ** 32 } }],
    [{ type: 'ping' }],
    [{ type: 'publish', id: large, channel: 'a', payload: '{"x":[1.50]}', key: 'k', event: '😀', ifOffset: 0 },
      { type: 'publish', id: large, channel: 'a', key: 'k', event: '😀', ifOffset: 0, data: { x: [1.5] } }],
    [{ type: 'publish', channel: 'a', payload: Uint8Array.from([0, 255]) }, { type: 'publish', channel: 'a', data64: 'AP8=' }],
    [{ type: 'publish', channel: 'a', payload: new Uint8Array(0) }, { type: 'publish', channel: 'a', data64: '' }],
  ];
  for (const [frame, expected] of frames) {
    assert.deepEqual(clientFrameOf(encode(frame)), expected ?? frame);
  }
});

test('frames of another library are read as they were meant', () => {
  const frames: any[] = [
    {
      type: 'welcome', session: 's', resumeToken: 'r', state: 'resumed', resumeWindowMs: 300_000, heartbeatMs: 0, maxFrameBytes: 65_536,
      subscriptions: [{ channel: 'a', epoch: 'e', head: large, cursor: 0 }, { channel: 'b', epoch: 'é', head: 1, cursor: 1 }],
    },
    { type: 'authorized', id: 9, expiresAt: '9999-12-31T23:59:59.999Z' },
    { type: 'subscribed', id: 0, channel: 'a', epoch: 'e', head: 41, cursor: 40 },
    { type: 'unsubscribed', channel: 'a' },
    { type: 'unsubscribed', id: 3, channel: 'a' },
    { type: 'published', id: 3, channel: 'a', epoch: 'e', offset: 2 ** 40, duplicate: false },
    { type: 'published', id: 3, channel: 'a', epoch: 'e', offset: 1, duplicate: true },
    { type: 'message', channel: 'a', offset: 1, at: 1_795_452_674_123, data: { text: 'é😀' }, key: 'k', event: 'x', from: '' },
    { type: 'message', channel: 'a', offset: 1, at: 0, data: null },
    { type: 'gap', channel: 'a', epoch: 'e', from: 1, to: 0, reason: 'epoch' },
    { type: 'gap', channel: 'a', epoch: 'e', from: 1, to: 7, reason: 'dropped' },
    { type: 'error', id: 3, code: 'not_subscribed', message: 'No.', retryAfterMs: 0 },
    { type: 'error', code: 'internal', message: '' },
    { type: 'goaway', reason: 'drain', reconnectInMs: 740 },
    { type: 'pong' },
  ];
  for (const frame of frames) {
    const bytes = serverFrameOf(frame);
    assert.deepEqual(protoCodec.decode(bytes), frame);
    // As browsers hand it over.
    assert.deepEqual(protoCodec.decode(Uint8Array.from(bytes).buffer), frame);
  }
  const bytes = serverFrameOf({ type: 'message', channel: 'a', offset: 1, at: 2, data64: 'AP8=' });
  assert.deepEqual(protoCodec.decode(bytes), { type: 'message', channel: 'a', offset: 1, at: 2, bytes: Uint8Array.from([0, 255]) });
});

test('what a later version says is passed over, or read as the nearest', () => {
  const later = [0xc0, 0x3e, 0x96, 0x01, 0xc1, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8, 0xc2, 0x3e, 2, 1, 2, 0xc5, 0x3e, 1, 2, 3, 4];
  assert.deepEqual(protoCodec.decode(Uint8Array.from([...serverFrameOf({ type: 'pong' }), ...later])), { type: 'pong' });
  assert.equal(protoCodec.decode(Uint8Array.from(later)), undefined);
  assert.equal(protoCodec.decode(new Uint8Array(0)), undefined);
  // A gap of the reason 9, and an error of the code 99.
  const gap = protoCodec.decode(Uint8Array.from([0x42, 12, 0x0a, 1, 0x61, 0x12, 1, 0x65, 0x18, 1, 0x20, 1, 0x28, 9])) as any;
  assert.equal(gap.reason, 'dropped');
  assert.deepEqual(protoCodec.decode(Uint8Array.from([0x4a, 2, 0x08, 99])), { type: 'error', code: 'internal', message: '' });
});

test('bytes that are no frame are a protocol error, and never anything else', () => {
  const broken = ['08', '0880', '00', '5aff', '5b', '5f', '3a020a05', '3a030a01ff', '3a0522037b7d7d', '08ffffffffffffffff7f5a00'];
  for (const hex of broken) {
    assert.throws(() => protoCodec.decode(Buffer.from(hex, 'hex')), { code: 'protocol' }, hex);
    assert.match(protoCodec.textOf(Buffer.from(hex, 'hex')), /no frame/);
  }
  assert.throws(() => protoCodec.decode('{"type":"pong"}'), { code: 'protocol' });
  assert.throws(() => jsonCodec.decode(new ArrayBuffer(2)), { code: 'protocol' });

  const random = seeded(11);
  const whole = serverFrameOf({ type: 'message', channel: 'room:1', offset: 300, at: 1_795_452_674_123, data: { a: 1 }, key: 'k', from: 'ana' });
  for (let i = 0; i < 50_000; i++) {
    const bytes = i % 2 === 0 ? Uint8Array.from({ length: Math.floor(random() * 40) }, () => random() * 256) : whole.slice();
    for (let n = i % 2 === 0 ? 0 : 1 + Math.floor(random() * 3); n > 0; n--) {
      bytes[Math.floor(random() * bytes.length)] = random() * 256;
    }
    try {
      protoCodec.decode(bytes);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'protocol');
    }
    assert.equal(typeof protoCodec.textOf(bytes), 'string');
  }
});

test('numbers that are none become ones that a server refuses', () => {
  for (const ifOffset of [-1, 1.5, Number.NaN, 2 ** 53, Infinity]) {
    assert.ok(clientFrameOf(encode({ type: 'publish', channel: 'a', payload: '1', ifOffset })).ifOffset > large, String(ifOffset));
  }
});

test('bytes and JSON pass through a connection in the binary form, and listeners see JSON', async (t) => {
  const server = await serve(t);
  const shown: string[] = [];
  const client = await connected(t, server, { codec: protoCodec, token: 'secret' });
  client.on('frame', ({ direction, text }) => shown.push(`${direction} ${text}`));
  const messages = new Collector();
  await client.subscribe('a', { from: 'start', onMessage: messages.add }).ready;
  await client.publish('a', { text: 'é😀' }, { event: 'x' });
  await client.publish('a', Uint8Array.from([0, 255]));
  await messages.count(2);
  assert.equal(server.last.binary, true);
  assert.deepEqual(messages.items[0]?.data, { text: 'é😀' });
  assert.deepEqual(messages.items[1]?.bytes, Uint8Array.from([0, 255]));
  assert.ok(shown.some((line) => line.startsWith('out {"type":"publish"') && line.includes('"data":{"text":"é😀"}')), shown.join('\n'));
  assert.ok(shown.some((line) => line.startsWith('in {"type":"message"') && line.includes('"event":"x"')), shown.join('\n'));
});
