import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Gap, GridError, Message } from '@grid/client';
import { Collector, ManualClock, connected, clientOf, deferred, serve } from './support.js';

const offsets = (items: readonly { offset: number }[]): number[] => items.map(({ offset }) => offset);
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test('subscribes from now, the start, the last so many and a position', async (t) => {
  const server = await serve(t);
  for (const name of ['a', 'b', 'c', 'd']) {
    server.publish(name, 1, 2, 3, 4, 5);
  }
  const client = await connected(t, server);
  const seen = { a: new Collector(), b: new Collector(), c: new Collector(), d: new Collector() };
  const a = client.subscribe('a', { onMessage: seen.a.add });
  const b = client.subscribe('b', { from: 'start', onMessage: seen.b.add });
  const c = client.subscribe('c', { from: { last: 2 }, onMessage: seen.c.add });
  const d = client.subscribe('d', { from: { epoch: 'e1', offset: 3 }, onMessage: seen.d.add });
  await Promise.all([a.ready, b.ready, c.ready, d.ready]);
  assert.equal(a.cursor, 5);
  assert.equal(a.epoch, 'e1');
  for (const name of ['a', 'b', 'c', 'd']) {
    server.publish(name, 6);
  }
  await Promise.all([seen.a.count(1), seen.b.count(6), seen.c.count(3), seen.d.count(3)]);
  assert.deepEqual(offsets(seen.a.items), [6]);
  assert.deepEqual(offsets(seen.b.items), range(1, 6));
  assert.deepEqual(offsets(seen.c.items), [4, 5, 6]);
  assert.deepEqual(offsets(seen.d.items), [4, 5, 6]);
});

test('a message carries all that the frame has', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const seen = new Collector();
  await client.subscribe('a', { onMessage: seen.add }).ready;
  await client.publish('a', { text: 'hello' }, { key: 'k-1', event: 'chat.message' });
  await client.publish('a', Uint8Array.of(0, 255, 7));
  await client.publish('a', undefined, { bytes: Uint8Array.of(1) });
  await client.publish('a', null);
  await seen.count(4);
  assert.deepEqual(seen.items[0], {
    channel: 'a', epoch: 'e1', offset: 1, at: 1_795_452_674_123, data: { text: 'hello' }, key: 'k-1', event: 'chat.message',
  });
  assert.deepEqual(seen.items[1]?.bytes, Uint8Array.of(0, 255, 7));
  assert.equal(seen.items[1]?.data, undefined);
  assert.deepEqual(seen.items[2]?.bytes, Uint8Array.of(1));
  assert.equal(seen.items[3]?.data, null);
});

test('the next message waits for an asynchronous handler, and the acknowledgement for its end', async (t) => {
  const server = await serve(t);
  const clock = new ManualClock();
  const client = await connected(t, server, { clock });
  const gates = [deferred(), deferred(), deferred()];
  const started = new Collector();
  const subscription = client.subscribe('a', {
    from: 'start',
    onMessage: (message) => {
      started.add(message);
      return gates[message.offset - 1]?.promise;
    },
  });
  await subscription.ready;
  clock.advance(1_000);
  server.publish('a', 1, 2, 3);
  await started.count(1);
  assert.equal(subscription.cursor, 0);
  clock.advance(10_000);
  gates[0]?.resolve();
  await started.count(2);
  assert.equal(subscription.cursor, 1);
  assert.equal(started.items.length, 2);
  clock.advance(1_000);
  await server.until(() => server.frames('ack').length > 0);
  assert.deepEqual(server.frames('ack').map((frame) => frame.cursors), [{ a: 1 }]);
  gates[1]?.resolve();
  await started.count(3);
  gates[2]?.resolve();
});

test('acknowledgements join, by time and by number', async (t) => {
  const server = await serve(t);
  const clock = new ManualClock();
  const client = await connected(t, server, { clock, ackBatch: 10 });
  const seen = new Collector();
  await client.subscribe('a', { onMessage: seen.add }).ready;
  await client.subscribe('b', { onMessage: seen.add }).ready;
  server.publish('a', ...range(1, 15));
  server.publish('b', 1);
  await seen.count(16);
  await server.until(() => server.frames('ack').length === 1);
  clock.advance(1_000);
  await server.until(() => server.frames('ack').length === 2);
  assert.deepEqual(server.frames('ack').map((frame) => frame.cursors), [{ a: 10 }, { a: 15, b: 1 }]);
});

test('what was handled is acknowledged before the client closes', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const seen = new Collector();
  await client.subscribe('a', { onMessage: seen.add }).ready;
  server.publish('a', 1, 2);
  await seen.count(2);
  await client.close();
  await server.until(() => server.closes.length === 1);
  assert.deepEqual(server.frames('ack').at(-1)?.cursors, { a: 2 });
  assert.equal(server.closes[0]?.code, 1000);
  assert.equal(client.state, 'closed');
});

test('a subscription is a stream, acknowledged when the next message is asked for', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  server.publish('a', 'x', 'y', 'z');
  const subscription = client.subscribe<string>('a', { from: 'start' });
  const seen: string[] = [];
  for await (const message of subscription) {
    assert.equal(subscription.cursor, message.offset - 1);
    seen.push(message.data);
    if (message.offset === 2) {
      break;
    }
  }
  assert.deepEqual(seen, ['x', 'y']);
  assert.equal(subscription.cursor, 1);
  // The message whose loop was left was not finished with, and comes again.
  const again: string[] = [];
  for await (const message of subscription) {
    again.push(message.data);
    if (message.offset === 3) {
      await subscription.unsubscribe();
    }
  }
  assert.deepEqual(again, ['y', 'z']);
  assert.equal(subscription.cursor, 3);
  assert.ok(subscription.ended);
});

test('a stream has one consumer, and calls of next are answered in order', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const subscription = client.subscribe('a', { from: 'start' });
  const iterator = subscription[Symbol.asyncIterator]();
  assert.throws(() => subscription[Symbol.asyncIterator](), { code: 'bad_argument' });
  const results = [iterator.next(), iterator.next(), iterator.next()];
  server.publish('a', 1, 2);
  assert.equal((await results[0])?.value?.offset, 1);
  assert.equal((await results[1])?.value?.offset, 2);
  await iterator.return?.();
  assert.deepEqual(await results[2], { done: true, value: undefined });
  const handled = client.subscribe('b', { onMessage: () => undefined });
  assert.throws(() => handled[Symbol.asyncIterator](), { code: 'bad_argument' });
});

test('a stream ends with the client: in silence after close', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const subscription = client.subscribe('a');
  await subscription.ready;
  const next = subscription[Symbol.asyncIterator]().next();
  await client.close();
  assert.equal((await next).done, true);
});

test('a gap is told in its place, before what follows, by callback and event', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const order: unknown[] = [];
  const events: Gap[] = [];
  const done = deferred();
  client.on('gap', (gap) => events.push(gap));
  const subscription = client.subscribe('a', {
    from: 'start',
    onGap: async (gap) => {
      await Promise.resolve();
      order.push(gap);
    },
    onMessage: (message) => {
      order.push(message.offset);
      if (message.offset === 6) {
        done.resolve();
      }
    },
  });
  await subscription.ready;
  server.publish('a', 1, 2);
  server.last.send({ type: 'gap', channel: 'a', epoch: 'e1', from: 3, to: 5, reason: 'dropped' });
  server.last.send({ type: 'message', channel: 'a', offset: 6, at: 0, data: 6 });
  await done.promise;
  const gap = { channel: 'a', epoch: 'e1', from: 3, to: 5, reason: 'dropped' };
  assert.deepEqual(order, [1, 2, gap, 6]);
  assert.deepEqual(events, [gap]);
  assert.equal(server.connections.length, 1);
});

test('a position that retention has passed gives one gap', async (t) => {
  const server = await serve(t);
  server.publish('a', ...range(1, 10));
  server.channel('a').trim(6);
  const client = await connected(t, server);
  const gaps: Gap[] = [];
  const seen = new Collector();
  client.subscribe('a', { from: { epoch: 'e1', offset: 2 }, onGap: (gap) => gaps.push(gap), onMessage: seen.add });
  await seen.count(4);
  assert.deepEqual(gaps, [{ channel: 'a', epoch: 'e1', from: 3, to: 6, reason: 'retention' }]);
  assert.deepEqual(offsets(seen.items), [7, 8, 9, 10]);
});

test('a new epoch is told, and acknowledgements of the old one are not sent any more', async (t) => {
  const server = await serve(t);
  const clock = new ManualClock();
  const client = await connected(t, server, { clock });
  const gaps = new Collector<Gap>();
  const seen = new Collector();
  const gate = deferred();
  const subscription = client.subscribe('a', {
    from: 'start',
    onGap: gaps.add,
    onMessage: (message) => {
      seen.add(message);
      return message.offset === 2 && message.epoch === 'e1' ? gate.promise : undefined;
    },
  });
  await subscription.ready;
  server.publish('a', 1, 2);
  await seen.count(2);
  // While the handler of 2 runs, the channel is purged: from now on an acknowledgement would be read as of the new epoch.
  server.channel('a').purge('e2');
  server.last.sent.set('a', 0);
  server.last.send({ type: 'gap', channel: 'a', epoch: 'e2', from: 1, to: 0, reason: 'epoch' });
  const pong = new Collector<unknown>();
  client.on('frame', pong.add);
  server.last.send({ type: 'pong' });
  await pong.count(1);
  clock.advance(1_000);
  gate.resolve();
  await gaps.count(1);
  server.publish('a', 'new');
  await seen.count(3);
  clock.advance(1_000);
  await server.until(() => server.frames('ack').length > 0);
  assert.deepEqual(server.frames('ack').map((frame) => frame.cursors), [{ a: 1 }]);
  assert.deepEqual(gaps.items, [{ channel: 'a', epoch: 'e2', from: 1, to: 0, reason: 'epoch' }]);
  assert.deepEqual([seen.items[2]?.epoch, seen.items[2]?.offset], ['e2', 1]);
  assert.deepEqual([subscription.epoch, subscription.cursor], ['e2', 1]);
});

test('a failed handler ends the subscription before its message', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const errors = new Collector<GridError>();
  const seen: number[] = [];
  const subscription = client.subscribe('a', {
    from: 'start',
    onMessage: async (message) => {
      seen.push(message.offset);
      if (message.offset === 2) {
        throw new Error('broken');
      }
    },
    onError: errors.add,
  });
  server.publish('a', 1, 2, 3);
  await errors.count(1);
  assert.equal(errors.items[0]?.code, 'handler_failed');
  await server.until(() => server.frames('unsubscribe').length === 1);
  assert.deepEqual(seen, [1, 2]);
  assert.equal(subscription.cursor, 1);
  assert.ok(subscription.ended);
  const rest = new Collector();
  client.subscribe('a', { from: { epoch: subscription.epoch as string, offset: subscription.cursor as number }, onMessage: rest.add });
  await rest.count(2);
  assert.deepEqual(offsets(rest.items), [2, 3]);
});

test('a failed handler can be skipped', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const seen = new Collector();
  client.subscribe('a', {
    from: 'start',
    onMessage: (message) => {
      seen.add(message);
      throw new Error('broken');
    },
    onError: () => 'skip',
  });
  server.publish('a', 1, 2, 3);
  await seen.count(3);
  assert.deepEqual(offsets(seen.items), [1, 2, 3]);
});

test('a refusal ends the subscription; a passing fault is asked again', async (t) => {
  const server = await serve(t);
  let away = 2;
  server.intercept = (connection, frame) => {
    if (frame.type === 'subscribe' && frame.channel === 'secret') {
      connection.send({ type: 'error', id: frame.id, code: 'forbidden', message: 'No.' });
      return true;
    }
    if (frame.type === 'subscribe' && away-- > 0) {
      connection.send({ type: 'error', id: frame.id, code: 'unavailable', message: 'Soon.', retryAfterMs: 1 });
      return true;
    }
    return false;
  };
  const client = await connected(t, server);
  const errors: GridError[] = [];
  const refused = client.subscribe('secret', { onError: (error) => errors.push(error) });
  await assert.rejects(refused.ready, { code: 'forbidden', channel: 'secret' });
  assert.deepEqual(errors.map(({ code }) => code), ['forbidden']);
  await assert.rejects(refused[Symbol.asyncIterator]().next(), { code: 'forbidden' });
  const open = client.subscribe('open', { from: 'start' });
  await open.ready;
  assert.equal(server.frames('subscribe').filter(({ channel }) => channel === 'open').length, 3);
  // The name is free again.
  server.intercept = undefined;
  await client.subscribe('secret').ready;
});

test('one subscription per channel, of a valid name', async (t) => {
  const server = await serve(t);
  const client = clientOf(t, server);
  client.subscribe('a');
  assert.throws(() => client.subscribe('a'), { code: 'already_subscribed' });
  assert.throws(() => client.subscribe('no spaces'), { code: 'bad_argument' });
});

test('a lagging consumer is bounded: the channel is paused, then read on, whole and once', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server, { maxBufferedMessages: 8 });
  const gate = deferred();
  const seen = new Collector();
  const subscription = client.subscribe('a', {
    from: 'start',
    onMessage: async (message) => {
      await gate.promise;
      seen.add(message);
    },
  });
  await subscription.ready;
  server.publish('a', ...range(1, 100));
  await server.until(() => server.frames('unsubscribe').length === 1);
  server.publish('a', ...range(101, 200));
  assert.ok((subscription as unknown as { queued: number }).queued <= 9);
  gate.resolve();
  await seen.count(200);
  assert.deepEqual(offsets(seen.items), range(1, 200));
});

test('a lagging consumer stays bounded through a lost connection', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server, { maxBufferedMessages: 8 });
  const gate = deferred();
  const seen = new Collector<Message>();
  const subscription = client.subscribe('a', {
    from: 'start',
    onMessage: async (message) => {
      await gate.promise;
      seen.add(message);
    },
  });
  await subscription.ready;
  server.publish('a', ...range(1, 50));
  // The unsubscribe is lost: the session still has the channel when it resumes.
  server.intercept = (connection, frame) => {
    if (frame.type === 'unsubscribe' && connection.number === 1) {
      connection.cut();
      return true;
    }
    return false;
  };
  await server.until(() => server.frames('unsubscribe').length === 2);
  assert.ok((subscription as unknown as { queued: number }).queued <= 9);
  gate.resolve();
  await seen.count(50);
  assert.deepEqual(offsets(seen.items), range(1, 50));
});
