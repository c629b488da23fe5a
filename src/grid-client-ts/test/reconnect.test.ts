import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ClientState, type Gap, type GridError } from '@grid/client';
import type { ClientFrame } from './fake-server.js';
import { Collector, ManualClock, clientOf, connected, deferred, entered, serve, webSocket } from './support.js';

const offsets = (items: readonly { offset: number }[]): number[] => items.map(({ offset }) => offset);
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test('the state tells where the client stands', async (t) => {
  const server = await serve(t);
  const client = clientOf(t, server);
  const states: ClientState[] = [];
  client.on('state', ({ state }) => states.push(state));
  assert.equal(client.state, 'idle');
  await client.connect();
  await client.connect();
  const back = entered(client, 'connected');
  server.last.cut();
  await back;
  await client.close();
  await client.close();
  assert.deepEqual(states, ['connecting', 'connected', 'reconnecting', 'connected', 'closed']);
  assert.equal(client.closeError, undefined);
});

test('hello names the client, and resumes the session with what was received', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server, { client: 'board/2.1', token: 'tok' });
  const seen = new Collector();
  await client.subscribe('a', { from: 'start', onMessage: seen.add }).ready;
  server.publish('a', 1, 2, 3);
  await seen.count(3);
  const back = entered(client, 'connected');
  server.last.cut();
  await back;
  server.publish('a', 4);
  await seen.count(4);
  const [first, second] = server.frames('hello');
  assert.deepEqual(first, { type: 'hello', token: 'tok', client: 'board/2.1' });
  assert.deepEqual(second?.resume, { session: 's1', token: 'r1', cursors: { a: { epoch: 'e1', offset: 3 } } });
  assert.equal(server.frames('subscribe').length, 1);
  assert.deepEqual(offsets(seen.items), [1, 2, 3, 4]);
  assert.equal(client.session, 's1');
});

test('within one life what waits in memory is not asked for again', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const gate = deferred();
  const seen = new Collector();
  const subscription = client.subscribe('a', {
    from: 'start',
    onMessage: async (message) => {
      seen.add(message);
      await gate.promise;
    },
  });
  server.publish('a', 1, 2, 3, 4, 5);
  const arrived = new Collector<unknown>();
  client.on('frame', ({ text }) => text.includes('"offset":5') && arrived.add(text));
  await arrived.count(1);
  const back = entered(client, 'connected');
  server.last.cut();
  await back;
  assert.equal(subscription.cursor, 0);
  assert.deepEqual(server.frames('hello')[1]?.resume.cursors, { a: { epoch: 'e1', offset: 5 } });
  gate.resolve();
  await seen.count(5);
  assert.deepEqual(offsets(seen.items), [1, 2, 3, 4, 5]);
});

test('messages that come again after a resume are dropped', async (t) => {
  const server = await serve(t);
  server.resumeRewind = 3;
  const client = await connected(t, server);
  const seen = new Collector();
  client.subscribe('a', { from: 'start', onMessage: seen.add });
  server.publish('a', 1, 2, 3, 4, 5);
  await seen.count(5);
  const back = entered(client, 'connected');
  server.last.cut();
  await back;
  server.publish('a', 6);
  await seen.count(6);
  assert.deepEqual(offsets(seen.items), range(1, 6));
});

test('a hole is never let through: the client resumes from the last good cursor', async (t) => {
  const server = await serve(t);
  server.beforeSend = (connection, frame) => !(connection.number === 1 && frame.type === 'message' && frame.offset === 3);
  const client = await connected(t, server);
  const errors: GridError[] = [];
  client.on('error', (error) => errors.push(error));
  const seen = new Collector();
  client.subscribe('a', { from: 'start', onMessage: seen.add });
  server.publish('a', 1, 2, 3, 4, 5);
  await seen.count(5);
  assert.deepEqual(offsets(seen.items), range(1, 5));
  assert.deepEqual(server.frames('hello')[1]?.resume.cursors, { a: { epoch: 'e1', offset: 2 } });
  assert.equal(errors[0]?.code, 'protocol');
});

test('a gap that leaves a hole before it is not believed either', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const seen = new Collector();
  const gaps: Gap[] = [];
  await client.subscribe('a', { from: 'start', onMessage: seen.add, onGap: (gap) => gaps.push(gap) }).ready;
  const back = entered(client, 'connected');
  server.last.send({ type: 'gap', channel: 'a', epoch: 'e1', from: 3, to: 4, reason: 'dropped' });
  await back;
  server.publish('a', 1);
  await seen.count(1);
  assert.deepEqual(gaps, []);
});

test('messages lost while away are told as a gap, which the welcome alone gives away', async (t) => {
  const server = await serve(t);
  server.beforeSend = (_, frame) => frame.type !== 'gap';
  const client = await connected(t, server);
  const order = new Collector<unknown>();
  client.subscribe('a', { from: 'start', onGap: order.add, onMessage: ({ offset }) => order.add(offset) });
  server.publish('a', 1, 2);
  await order.count(2);
  const channel = server.channel('a');
  for (let i = 3; i <= 10; i++) {
    channel.append({ data: i });
  }
  channel.trim(7);
  server.last.cut();
  await order.count(6);
  assert.deepEqual(order.items, [1, 2, { channel: 'a', epoch: 'e1', from: 3, to: 7, reason: 'retention' }, 8, 9, 10]);
  assert.equal(server.connections.length, 2);
});

test('a channel purged while away continues in its new epoch, after a gap', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const order = new Collector<unknown>();
  client.subscribe('a', { from: 'start', onGap: order.add, onMessage: ({ epoch, offset }) => order.add(`${epoch}:${offset}`) });
  server.publish('a', 1, 2);
  await order.count(2);
  server.channel('a').purge('e2');
  server.channel('a').append({ data: 'x' });
  server.channel('a').append({ data: 'y' });
  server.last.cut();
  await order.count(5);
  assert.deepEqual(order.items, ['e1:1', 'e1:2', { channel: 'a', epoch: 'e2', from: 1, to: 0, reason: 'epoch' }, 'e2:1', 'e2:2']);
});

test('an expired session: every subscription is asked for again from where it stood', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const expired: unknown[] = [];
  client.on('sessionExpired', (event) => expired.push(event));
  const a = new Collector();
  const b = new Collector();
  await client.subscribe('a', { from: 'start', onMessage: a.add }).ready;
  await client.subscribe('b', { onMessage: b.add }).ready;
  server.publish('a', 1, 2);
  await a.count(2);
  server.sessions.clear();
  server.channel('a').append({ data: 3 });
  server.channel('b').append({ data: 1 });
  server.last.cut();
  await a.count(3);
  await b.count(1);
  assert.deepEqual(offsets(a.items), [1, 2, 3]);
  assert.deepEqual(offsets(b.items), [1]);
  assert.deepEqual(expired, [{ previousSession: 's1', session: 's2' }]);
  assert.deepEqual(server.frames('subscribe').slice(2).map(({ channel, from }) => [channel, from]), [
    ['a', { epoch: 'e1', offset: 2 }], ['b', { epoch: 'e1', offset: 0 }],
  ]);
});

for (const code of [4500, 4502, 4503, 4504, 4505]) {
  test(`close code ${code}: no reconnect, and the reason is told`, async (t) => {
    const server = await serve(t);
    const client = await connected(t, server);
    const subscription = client.subscribe('a');
    await subscription.ready;
    server.intercept = (_, frame) => frame.type === 'publish';
    const publish = assert.rejects(client.publish('a', 1), { code: 'closed', closeCode: code, outcomeUnknown: true });
    const next = assert.rejects(subscription[Symbol.asyncIterator]().next(), { closeCode: code });
    await server.until(() => server.frames('publish').length === 1);
    const closed = entered(client, 'closed');
    server.last.close(code, 'because');
    await Promise.all([closed, publish, next]);
    assert.equal(client.closeError?.closeCode, code);
    assert.match(client.closeError?.message ?? '', /because/);
    await assert.rejects(client.connect(), { closeCode: code });
    assert.equal(server.connections.length, 1);
  });
}

test('what waits in memory is still delivered after the server has ended the session', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  server.publish('a', 1, 2, 3);
  const subscription = client.subscribe('a', { from: 'start' });
  await subscription.ready;
  const closed = entered(client, 'closed');
  server.last.close(4503);
  await closed;
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const message of subscription) {
      seen.push(message.offset);
    }
  }, { closeCode: 4503 });
  assert.deepEqual(seen, [1, 2, 3]);
});

for (const code of [1000, 1001, 4000, 4001, 4002, 4003, 4999]) {
  test(`close code ${code}: reconnects`, async (t) => {
    const server = await serve(t);
    const client = await connected(t, server);
    const back = entered(client, 'connected');
    server.last.close(code);
    await back;
    assert.equal(server.frames('hello')[1]?.resume.session, 's1');
  });
}

test('delays between attempts are full jitter, and short again after a connection that lasted', async (t) => {
  const server = await serve(t);
  const clock = new ManualClock();
  const delays: number[] = [];
  const spy = { ...clockMethods(clock), setTimeout: (action: () => void, delayMs: number) => {
    delays.push(delayMs);
    return clock.setTimeout(action, delayMs);
  } };
  let refuse = 4;
  server.intercept = (connection, frame) => {
    if (frame.type === 'hello' && connection.number > 1 && refuse-- > 0) {
      connection.cut();
      return true;
    }
    return false;
  };
  const client = await connected(t, server, { clock: spy, random: () => 0.5, reconnect: { minDelayMs: 80, maxDelayMs: 400 } });
  clock.advance(5_000);
  const outage = async (): Promise<number[]> => {
    delays.length = 0;
    const back = entered(client, 'connected');
    server.last.cut();
    let up = false;
    void back.then(() => {
      up = true;
    });
    const waits: number[] = [];
    while (!up) {
      await Promise.race([back, clock.armed(400)]);
      if (!up) {
        waits.push(...delays.filter((delay) => delay <= 400));
        delays.length = 0;
        clock.advance(400);
      }
    }
    return waits;
  };
  assert.deepEqual(await outage(), [40, 80, 160, 200, 200]);
  clock.advance(5_000);
  assert.deepEqual(await outage(), [40]);
});

function clockMethods(clock: ManualClock): { now(): number; clearTimeout(handle: unknown): void } {
  return { now: () => clock.now(), clearTimeout: (handle) => clock.clearTimeout(handle) };
}

test('goaway: the next connection is made before the old one is left, and nothing is lost or repeated', async (t) => {
  const server = await serve(t);
  // It is the client that leaves the old one: told to by the server, it could hear of that before it hears the welcome.
  server.supersedes = false;
  const clock = new ManualClock();
  const client = await connected(t, server, { clock });
  const states: ClientState[] = [];
  const goaways: unknown[] = [];
  client.on('state', ({ state }) => states.push(state));
  client.on('goaway', (event) => goaways.push(event));
  const seen = new Collector();
  await client.subscribe('a', { from: 'start', onMessage: seen.add }).ready;
  server.publish('a', 1, 2);
  await seen.count(2);
  const draining = entered(client, 'draining');
  server.last.send({ type: 'goaway', reason: 'drain', reconnectInMs: 740 });
  await draining;
  clock.advance(739);
  server.publish('a', 3);
  await seen.count(3);
  assert.equal((await client.publish('b', 'still served')).offset, 1);
  assert.equal(server.connections.length, 1);
  const back = entered(client, 'connected');
  clock.advance(1);
  await back;
  server.publish('a', 4);
  await seen.count(4);
  await server.until(() => server.closes.length === 1);
  assert.deepEqual(offsets(seen.items), [1, 2, 3, 4]);
  assert.deepEqual(states, ['draining', 'connected']);
  assert.deepEqual(goaways, [{ reason: 'drain', reconnectInMs: 740 }]);
  assert.equal(server.connections.length, 2);
});

test('goaway: what came during the change is acknowledged when the new connection has repeated it', async (t) => {
  const server = await serve(t);
  const clock = new ManualClock();
  const client = await connected(t, server, { clock });
  const seen = new Collector();
  await client.subscribe('a', { from: 'start', onMessage: seen.add }).ready;
  server.publish('a', 1);
  await seen.count(1);
  server.intercept = (connection, frame) => frame.type === 'hello' && connection.number === 2;
  const draining = entered(client, 'draining');
  server.last.send({ type: 'goaway', reason: 'drain', reconnectInMs: 10 });
  await draining;
  clock.advance(10);
  await server.until(() => server.frames('hello').length === 2);
  server.publish('a', 2, 3);
  await seen.count(3);

  // The answer to the second hello knows the cursor that stood in it; then come the others again.
  const back = entered(client, 'connected');
  server.last.send({
    type: 'welcome', session: 's1', resumeToken: 'r1', state: 'resumed', resumeWindowMs: 300_000, heartbeatMs: 25_000,
    maxFrameBytes: 65_536, subscriptions: [{ channel: 'a', epoch: 'e1', head: 3, cursor: 1 }],
  });
  await back;
  await server.until(() => server.frames('ack').length === 1);
  server.last.send({ type: 'message', channel: 'a', offset: 2, at: 1, data: 2 });
  server.last.send({ type: 'message', channel: 'a', offset: 3, at: 1, data: 3 });
  server.last.send({ type: 'message', channel: 'a', offset: 4, at: 1, data: 4 });
  await seen.count(4);
  clock.advance(1_000);
  await server.until(() => server.frames('ack').length === 2);
  assert.deepEqual(server.frames('ack').map((frame) => frame.cursors), [{ a: 1 }, { a: 4 }]);
  assert.deepEqual(offsets(seen.items), [1, 2, 3, 4]);
});

test('goaway: a publish in flight at the change is stored once', async (t) => {
  const server = await serve(t);
  server.beforeSend = (connection, frame) => !(connection.number === 1 && frame.type === 'published');
  const client = await connected(t, server);
  const publish = client.publish('a', 'once');
  await server.until(() => server.channel('a').head === 1);
  server.last.send({ type: 'goaway', reason: 'drain', reconnectInMs: 0 });
  assert.deepEqual(await publish, { epoch: 'e1', offset: 1, duplicate: true });
});

test('goaway: the old connection may be superseded before the new one is welcomed', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const seen = new Collector();
  client.subscribe('a', { from: 'start', onMessage: seen.add });
  server.publish('a', 1);
  await seen.count(1);
  server.intercept = (connection, frame) => frame.type === 'hello' && connection.number === 2;
  const down = entered(client, 'reconnecting');
  server.last.send({ type: 'goaway', reason: 'drain', reconnectInMs: 0 });
  await server.until(() => server.frames('hello').length === 2);
  server.connections[0]?.close(4500, 'superseded');
  await down;
  const publish = client.publish('a', 'between the two');
  server.handle(server.last, server.frames('hello')[1] as ClientFrame);
  assert.equal((await publish).offset, 2);
  await seen.count(2);
  assert.equal(server.connections.length, 2);
});

test('goaway: a server that closes early is not rushed back to', async (t) => {
  const server = await serve(t);
  const clock = new ManualClock();
  let opened = 0;
  const client = await connected(t, server, {
    clock,
    webSocket: (url, protocols) => {
      opened++;
      return webSocket(url, protocols);
    },
  });
  const draining = entered(client, 'draining');
  server.last.send({ type: 'goaway', reason: 'drain', reconnectInMs: 2_000 });
  await draining;
  const down = entered(client, 'reconnecting');
  server.last.close(4000);
  await down;
  clock.advance(1_999);
  // An attempt asks for its token first, and opens the socket a few microtasks later.
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(opened, 1);
  const back = entered(client, 'connected');
  clock.advance(1);
  await back;
  assert.equal(opened, 2);
});
