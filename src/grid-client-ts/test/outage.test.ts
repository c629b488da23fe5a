import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GridClient, type GridError } from '@grid/client';
import { clientOf, codec, Collector, connected, deferred, entered, ManualClock, memoryStorage, serve, webSocket } from './support.js';

const offsets = (items: readonly { offset: number }[]): number[] => items.map(({ offset }) => offset);
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test('half-open: silence is answered with a ping, and more silence with a new connection', async (t) => {
  const server = await serve(t);
  const clock = new ManualClock();
  const client = await connected(t, server, { clock });
  const frames = new Collector<unknown>();
  client.on('frame', ({ direction, text }) => frames.add(`${direction} ${text}`));
  clock.advance(15_000);
  await frames.until(() => frames.items.includes('in {"type":"pong"}'));
  clock.advance(14_999);
  assert.equal(server.frames('ping').length, 1);
  clock.advance(1);
  await frames.until(() => frames.items.filter((frame) => frame === 'in {"type":"pong"}').length === 2);
  server.last.deaf = true;
  const back = entered(client, 'connected');
  clock.advance(15_000);
  assert.equal(client.state, 'connected');
  clock.advance(15_000);
  clock.advance(0);
  await back;
  assert.equal(server.frames('hello')[1]?.resume.session, 's1');
});

test('a server that accepts the socket and says nothing is given up on', async (t) => {
  const server = await serve(t);
  const clock = new ManualClock();
  server.intercept = (connection) => connection.number === 1;
  const client = clientOf(t, server, { clock, connectTimeoutMs: 10_000 });
  const up = client.connect();
  await server.until(() => server.frames('hello').length === 1);
  clock.advance(10_000);
  clock.advance(0);
  await up;
  assert.equal(server.connections.length, 2);
});

test('a server that never answers a request is given up on', async (t) => {
  const server = await serve(t);
  server.heartbeatMs = 600_000;
  const clock = new ManualClock();
  server.intercept = (connection, frame) => connection.number === 1 && frame.type === 'subscribe';
  const client = await connected(t, server, { clock });
  const subscription = client.subscribe('a');
  await server.until(() => server.frames('subscribe').length === 1);
  clock.advance(30_000);
  clock.advance(0);
  await subscription.ready;
  assert.equal(server.connections.length, 2);
});

test('frames that make no sense end the connection, not the client', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const binary = codec.subprotocol === 'grid.v1.proto';
  // Broken off, a message with a payload that is no JSON, text, a welcome of no state; or the like in JSON.
  const nonsenses = binary
    ? [Uint8Array.of(0x08), Uint8Array.of(0x3a, 3, 0x22, 1, 0x7b), '{"type":"pong"}', Uint8Array.of(0x12, 0)]
    : ['{', '{"type":"message","channel":"a"}', '[1]', JSON.stringify({ type: 'welcome' })];
  for (const nonsense of nonsenses) {
    const back = entered(client, 'connected');
    server.last.sendRaw(nonsense);
    await back;
  }
  server.last.sendRaw(binary ? Uint8Array.of(0xc2, 0x3e, 0) : '{"type":"from-the-future"}');
  server.last.send({ type: 'message', channel: 'nobody-asked', offset: 3, at: 0, data: 1 });
  await client.publish('a', 1);
  assert.equal(server.connections.length, 5);
});

test('an unsubscribe made during an outage reaches the server after it', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const seen = new Collector();
  const subscription = client.subscribe('a', { from: 'start', onMessage: seen.add });
  const other = new Collector();
  client.subscribe('b', { from: 'start', onMessage: other.add });
  server.publish('a', 1);
  server.publish('b', 1);
  await Promise.all([seen.count(1), other.count(1)]);
  const down = entered(client, 'reconnecting');
  server.last.cut();
  await down;
  await subscription.unsubscribe();
  server.channel('a').append({ data: 2 });
  server.publish('b', 2);
  await server.until(() => server.frames('unsubscribe').length === 1);
  await other.count(2);
  assert.deepEqual(server.frames('unsubscribe')[0]?.channel, 'a');
  assert.deepEqual(offsets(seen.items), [1]);
  assert.equal(server.sessions.get('s1')?.cursors.has('a'), false);
});

test('an unsubscribe whose answer is lost resolves, and is made sure of', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const subscription = client.subscribe('a');
  await subscription.ready;
  server.intercept = (connection, frame) => {
    if (frame.type === 'unsubscribe' && connection.number === 1) {
      connection.cut();
      return true;
    }
    return false;
  };
  await subscription.unsubscribe();
  await server.until(() => server.frames('unsubscribe').length === 2);
});

test('a channel left and taken again in one breath follows the second subscription only', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const first = new Collector();
  const one = client.subscribe('a', { from: 'start', onMessage: first.add });
  await one.ready;
  server.publish('a', 1, 2);
  await first.count(2);
  void one.unsubscribe();
  const second = new Collector();
  client.subscribe('a', { from: 'start', onMessage: second.add });
  server.publish('a', 3);
  await second.count(3);
  assert.deepEqual(offsets(second.items), [1, 2, 3]);
  assert.deepEqual(offsets(first.items), [1, 2]);
});

test('the same during an outage: from "now" means now, not where the first one stood', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const first = new Collector();
  const one = client.subscribe('a', { from: 'start', onMessage: first.add });
  server.publish('a', 1, 2);
  await first.count(2);
  const down = entered(client, 'reconnecting');
  server.last.cut();
  await down;
  await one.unsubscribe();
  server.channel('a').append({ data: 'while away' });
  const second = new Collector();
  const two = client.subscribe('a', { onMessage: second.add });
  await two.ready;
  server.publish('a', 'now');
  await second.count(1);
  assert.deepEqual(second.items.map(({ data }) => data), ['now']);
});

test('more channels than a frame can list: acknowledgements are split, and a resume is whole all the same', async (t) => {
  const server = await serve(t);
  server.maxFrameBytes = 4_096;
  const client = await connected(t, server, { ackBatch: 1_000_000, ackIntervalMs: 1_000_000 });
  const seen = new Collector();
  const names = range(1, 60).map((n) => `room:${String(n).padStart(4, '0')}:${'x'.repeat(100)}`);
  await Promise.all(names.map((name) => client.subscribe(name, { from: 'start', onMessage: seen.add }).ready));
  for (const name of names) {
    server.publish(name, 1);
  }
  await seen.count(60);
  const back = entered(client, 'connected');
  server.last.cut();
  await back;
  for (const name of names) {
    server.publish(name, 2);
  }
  await seen.count(120);
  await client.close();
  for (const { frame } of server.received) {
    assert.ok(JSON.stringify(frame).length <= 4_096);
  }
  for (const name of names) {
    assert.deepEqual(offsets(seen.items.filter(({ channel }) => channel === name)), [1, 2]);
  }
  assert.equal(new Set(server.frames('ack').flatMap(({ cursors }) => Object.keys(cursors as object))).size, 60);
});

test('a page load resumes the session after what was handled, not after what was received', async (t) => {
  const server = await serve(t);
  const storage = memoryStorage();
  // On a clock that stands still a client never opens a second connection: a page that is gone does not come back.
  const before = await connected(t, server, { storage, clock: new ManualClock() });
  const handled = new Collector();
  const stuck = deferred();
  before.subscribe('a', {
    from: 'start',
    onMessage: (message) => {
      handled.add(message);
      return message.offset === 3 ? stuck.promise : undefined;
    },
  });
  await before.subscribe('quiet').ready;
  server.publish('a', 1, 2, 3, 4, 5);
  await handled.count(3);
  await before.flush();
  // The page is gone: no close, no last word.
  server.last.cut();
  server.channel('quiet').append({ data: 'while away' });

  const after = clientOf(t, server, { storage });
  const a = new Collector();
  const quiet = new Collector();
  after.subscribe('a', { from: 'start', onMessage: a.add });
  await after.connect();
  after.subscribe('quiet', { onMessage: quiet.add });
  await Promise.all([a.count(3), quiet.count(1)]);
  assert.deepEqual(offsets(a.items), [3, 4, 5]);
  assert.deepEqual(offsets(quiet.items), [1]);
  assert.ok(server.frames('hello').some(({ resume }) => resume?.session === 's1' && resume.cursors.a?.offset === 2));
  assert.equal(after.session, 's1');
  stuck.resolve();
});

test('a store of another server, a garbled one or a failing one costs the resume only', async (t) => {
  const server = await serve(t);
  const other = memoryStorage();
  other.setItem('grid.session', JSON.stringify({ version: 1, url: 'ws://elsewhere/', session: { id: 'x', resumeToken: 'y' }, cursors: {} }));
  const garbled = memoryStorage();
  garbled.setItem('grid.session', '{"version":1');
  const failing = {
    getItem: () => { throw new Error('forbidden'); },
    setItem: () => { throw new Error('full'); },
    removeItem: () => undefined,
  };
  for (const storage of [other, garbled, failing]) {
    const client = clientOf(t, server, { storage });
    const errors: GridError[] = [];
    client.on('error', (error) => errors.push(error));
    await client.connect();
    assert.equal(server.frames('hello').at(-1)?.resume, undefined);
    assert.deepEqual(errors.map(({ code }) => code), storage === failing ? ['storage'] : []);
  }
});

test('a superseded client leaves no session behind to take back', async (t) => {
  const server = await serve(t);
  const storage = memoryStorage();
  const client = await connected(t, server, { storage });
  const closed = entered(client, 'closed');
  server.last.close(4500);
  await closed;
  assert.equal((await connected(t, server, { storage })).session, 's2');
});

test('dropConnection breaks the socket as the network would', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const back = entered(client, 'connected');
  client.dropConnection();
  await back;
  assert.equal(server.frames('hello')[1]?.resume.session, 's1');
});

test('closing while connecting settles everything', async (t) => {
  const server = await serve(t);
  server.intercept = () => true;
  const client = clientOf(t, server);
  const up = assert.rejects(client.connect(), { code: 'closed' });
  const ready = assert.rejects(client.subscribe('a').ready, { code: 'closed' });
  await server.until(() => server.frames('hello').length === 1);
  await client.close();
  await Promise.all([up, ready]);
});

test('options are checked, and URLs completed', async (t) => {
  const server = await serve(t);
  assert.throws(() => new GridClient({ url: 'nowhere', webSocket }), { code: 'bad_argument' });
  assert.throws(() => new GridClient({ url: 'ftp://x', webSocket }), { code: 'bad_argument' });
  const urls: string[] = [];
  const client = clientOf(t, server, {
    url: server.url.replace('ws:', 'http:').replace('/v1/ws', ''),
    webSocket: (url, protocols) => {
      urls.push(url);
      assert.deepEqual(protocols, [codec.subprotocol]);
      return webSocket(url, protocols);
    },
  });
  await client.connect();
  assert.deepEqual(urls, [server.url]);
});
