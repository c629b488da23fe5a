import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GridError, PublishResult } from '@grid/client';
import type { ClientFrame } from './fake-server.js';
import { Collector, ManualClock, clientOf, connected, deferred, entered, serve } from './support.js';

/** Every outcome, in the order of the calls. */
async function outcomes(publishes: readonly Promise<PublishResult>[]): Promise<(number | string)[]> {
  const settled = await Promise.allSettled(publishes);
  return settled.map((one) => (one.status === 'fulfilled' ? one.value.offset : (one.reason as GridError).code));
}

test('a publish is answered with its position', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  assert.deepEqual(await client.publish('a', { n: 1 }), { epoch: 'e1', offset: 1, duplicate: false });
  assert.deepEqual(await client.publish('a', 2, { key: 'mine', event: 'e', ifOffset: 1 }), { epoch: 'e1', offset: 2, duplicate: false });
  assert.deepEqual(await client.publish('a', 3, { key: 'mine' }), { epoch: 'e1', offset: 2, duplicate: true });
  const frames = server.frames('publish');
  assert.deepEqual(frames.map(({ data }) => data), [{ n: 1 }, 2, 3]);
  assert.deepEqual([frames[1]?.key, frames[1]?.event, frames[1]?.ifOffset], ['mine', 'e', 1]);
  assert.match(frames[0]?.key, /^[A-Za-z0-9]+-\w+$/);
  await assert.rejects(client.publish('a', 4, { ifOffset: 1 }), { code: 'conflict', channel: 'a', outcomeUnknown: false });
});

test('keys never repeat, not even between clients', async (t) => {
  const server = await serve(t);
  const one = await connected(t, server);
  const two = await connected(t, server);
  await Promise.all([one, two].flatMap((client) => Array.from({ length: 50 }, (_, i) => client.publish('a', i))));
  assert.equal(new Set(server.frames('publish').map(({ key }) => key)).size, 100);
});

test('what has no JSON form, or a bad channel, is refused without being sent', async (t) => {
  const server = await serve(t);
  const client = await connected(t, server);
  const circular: { self?: unknown } = {};
  circular.self = circular;
  for (const data of [undefined, () => 1, 1n, circular]) {
    await assert.rejects(client.publish('a', data), { code: 'bad_argument' });
  }
  await assert.rejects(client.publish('not a name', 1), { code: 'bad_argument' });
  await assert.rejects(client.publish('a', 1, { bytes: Uint8Array.of(1) }), { code: 'bad_argument' });
  assert.equal(server.frames('publish').length, 0);
});

test('cut after the message was stored: sent again with its key, stored once, one result', async (t) => {
  const server = await serve(t);
  server.beforeSend = (connection, frame) => {
    if (frame.type === 'published' && connection.number === 1) {
      connection.cut();
      return false;
    }
    return true;
  };
  const client = await connected(t, server);
  assert.deepEqual(await client.publish('a', 'once'), { epoch: 'e1', offset: 1, duplicate: true });
  const [first, second] = server.frames('publish');
  assert.equal(first?.key, second?.key);
  assert.equal(server.channel('a').head, 1);
});

test('cut before the message was stored: sent again, stored once', async (t) => {
  const server = await serve(t);
  server.intercept = (connection, frame) => {
    if (frame.type === 'publish' && connection.number === 1) {
      connection.cut();
      return true;
    }
    return false;
  };
  const client = await connected(t, server);
  assert.deepEqual(await client.publish('a', 'once'), { epoch: 'e1', offset: 1, duplicate: false });
  assert.equal(server.channel('a').head, 1);
});

test('publishes made without a connection go out in order when there is one', async (t) => {
  const server = await serve(t);
  const client = clientOf(t, server);
  const early = [client.publish('a', 1), client.publish('b', 2), client.publish('a', 3)];
  await client.connect();
  const later = client.publish('a', 4);
  assert.deepEqual(await outcomes([...early, later]), [1, 1, 2, 3]);
  assert.deepEqual(server.frames('publish').map(({ data }) => data), [1, 2, 3, 4]);
});

test('a connection lost in the middle keeps the order of a channel', async (t) => {
  const server = await serve(t);
  let left = 7;
  server.intercept = (connection, frame) => {
    if (frame.type === 'publish' && connection.number === 1 && --left < 0) {
      connection.cut();
      return true;
    }
    return false;
  };
  const client = await connected(t, server);
  const publishes = Array.from({ length: 30 }, (_, i) => client.publish('a', i));
  assert.deepEqual(await outcomes(publishes), Array.from({ length: 30 }, (_, i) => i + 1));
  assert.deepEqual([...server.channel('a').messages.values()].map(({ data }) => data), Array.from({ length: 30 }, (_, i) => i));
});

test('one publish more than the bound is rejected at once, by number and by bytes', async (t) => {
  const server = await serve(t);
  const byNumber = clientOf(t, server, { maxQueuedPublishes: 3 });
  const waiting = [1, 2, 3].map((n) => byNumber.publish('a', n));
  await assert.rejects(byNumber.publish('a', 4), { code: 'queue_full', outcomeUnknown: false });
  await byNumber.connect();
  await Promise.all(waiting);
  await byNumber.publish('a', 5);

  const byBytes = clientOf(t, server, { maxQueuedBytes: 2_000 });
  const large = byBytes.publish('b', 'x'.repeat(1_500));
  await assert.rejects(byBytes.publish('b', 'y'.repeat(500)), { code: 'queue_full' });
  await byBytes.connect();
  await large;
  await byBytes.publish('b', 'y'.repeat(500));
});

test('no answer in time: timeout, and the error says whether the message may have been stored', async (t) => {
  const server = await serve(t);
  const clock = new ManualClock();
  server.intercept = (_, frame) => frame.type === 'publish' && frame.data === 'swallowed';
  const client = clientOf(t, server, { clock, publishTimeoutMs: 5_000 });
  const unsent = client.publish('a', 'unsent');
  const expected = assert.rejects(unsent, { code: 'timeout', outcomeUnknown: false });
  clock.advance(5_000);
  await expected;
  await client.connect();
  const swallowed = assert.rejects(client.publish('a', 'swallowed'), { code: 'timeout', outcomeUnknown: true });
  await server.until(() => server.frames('publish').length === 1);
  clock.advance(5_000);
  await swallowed;
  assert.equal((await client.publish('a', 'next')).offset, 1);
  assert.deepEqual(server.frames('publish').map(({ data }) => data), ['swallowed', 'next']);
});

test('a larger frame than the server reads is refused here: sent, it would end the connection', async (t) => {
  const server = await serve(t);
  server.maxFrameBytes = 1_000;
  const client = clientOf(t, server);
  // Queued while the limit was not known.
  const early = assert.rejects(client.publish('a', 'x'.repeat(2_000)), { code: 'too_large' });
  await client.connect();
  await early;
  await assert.rejects(client.publish('a', 'ü'.repeat(500)), { code: 'too_large' });
  await client.publish('a', 'ü'.repeat(400));
  assert.equal(server.frames('publish').length, 1);
});

test('without reply: no id, no key, dropped while not connected', async (t) => {
  const server = await serve(t);
  const client = clientOf(t, server);
  assert.equal(await client.publish('pointer:1', 'lost', { noReply: true }), undefined);
  await client.connect();
  assert.equal(await client.publish('pointer:1', 'sent', { noReply: true, key: 'ana' }), undefined);
  await client.publish('a', 1);
  const frames = server.frames('publish');
  assert.equal(frames.length, 2);
  assert.deepEqual(frames[0], { type: 'publish', channel: 'pointer:1', key: 'ana', data: 'sent' });
});

test('a channel that is away for a while: sent again, in order, when it is back', async (t) => {
  const server = await serve(t);
  let refusals = 5;
  server.intercept = (connection, frame) => {
    if (frame.type === 'publish' && frame.channel === 'a' && refusals-- > 0) {
      connection.send({ type: 'error', id: frame.id, code: 'unavailable', message: 'Soon.', retryAfterMs: 1 });
      return true;
    }
    return false;
  };
  const client = await connected(t, server);
  const publishes = ['p', 'q', 'r'].map((data) => client.publish('a', data));
  const other = client.publish('b', 'not held back');
  assert.deepEqual(await outcomes([...publishes, other]), [1, 2, 3, 1]);
  assert.deepEqual([...server.channel('a').messages.values()].map(({ data }) => data), ['p', 'q', 'r']);
});

test('a refused publish that a later one has overtaken is rejected, not stored out of order', async (t) => {
  const server = await serve(t);
  server.intercept = (connection, frame) => {
    if (frame.type === 'publish' && frame.data === 'first') {
      connection.send({ type: 'error', id: frame.id, code: 'rate_limited', message: 'Slower.', retryAfterMs: 60_000 });
      return true;
    }
    return false;
  };
  const client = await connected(t, server);
  const first = client.publish('a', 'first');
  const second = client.publish('a', 'second');
  const failure = await first.then(() => undefined, (error: GridError) => error);
  assert.equal(failure?.code, 'rate_limited');
  assert.equal(failure?.retryAfterMs, 60_000);
  assert.equal((await second).offset, 1);
  assert.equal((await client.publish('a', 'third')).offset, 2);
});

test('a refused publish whose successor is in doubt when the connection is lost is rejected', async (t) => {
  const server = await serve(t);
  server.intercept = (connection, frame) => {
    if (frame.type !== 'publish' || connection.number > 1) {
      return false;
    }
    if (frame.data === 'first') {
      connection.send({ type: 'error', id: frame.id, code: 'unavailable', message: 'Soon.' });
    }
    return true;
  };
  const client = await connected(t, server);
  const refused = new Collector<unknown>();
  client.on('frame', ({ text }) => text.includes('unavailable') && refused.add(text));
  const publishes = [client.publish('a', 'first'), client.publish('a', 'second')];
  await refused.count(1);
  server.last.cut();
  assert.deepEqual(await outcomes(publishes), ['unavailable', 1]);
  await assert.rejects(publishes[0] as Promise<unknown>, { outcomeUnknown: true });
});

test('a publish that the server refuses for good does not hold back the next', async (t) => {
  const server = await serve(t);
  server.intercept = (connection, frame) => {
    if (frame.type === 'publish' && frame.data === 'bad') {
      connection.send({ type: 'error', id: frame.id, code: 'forbidden', message: 'No.' });
      return true;
    }
    return false;
  };
  const client = await connected(t, server);
  assert.deepEqual(await outcomes([client.publish('a', 'bad'), client.publish('a', 'good')]), ['forbidden', 1]);
});

test('closing rejects what is unanswered and says what is known of it; flush waits for it instead', async (t) => {
  const server = await serve(t);
  const answers: (() => void)[] = [];
  const held: ClientFrame[] = [];
  server.intercept = (_, frame) => frame.type === 'publish' && held.push(frame) > 0;
  const client = await connected(t, server);
  const sent = client.publish('a', 'sent');
  await server.until(() => held.length === 1);
  let flushed = false;
  const flush = client.flush().then(() => {
    flushed = true;
  });
  await Promise.resolve();
  assert.equal(flushed, false);
  server.last.send({ type: 'published', id: held[0]?.id, channel: 'a', epoch: 'e1', offset: 9, duplicate: false });
  assert.equal((await sent).offset, 9);
  await flush;

  const unanswered = assert.rejects(client.publish('a', 'unanswered'), { code: 'closed', outcomeUnknown: true });
  await server.until(() => held.length === 2);
  await client.close();
  await unanswered;
  await assert.rejects(client.publish('a', 1), { code: 'closed', outcomeUnknown: false });
  assert.throws(() => client.subscribe('a'), { code: 'closed' });
  await assert.rejects(client.connect(), { code: 'closed' });
  assert.equal(answers.length, 0);
});

test('a publish made during an outage waits for its end', async (t) => {
  const server = await serve(t);
  const gate = deferred();
  const client = await connected(t, server);
  const down = entered(client, 'reconnecting');
  server.intercept = (connection, frame) => {
    if (frame.type === 'hello' && connection.number === 2) {
      connection.cut();
      gate.resolve();
      return true;
    }
    return false;
  };
  server.last.cut();
  await down;
  const publish = client.publish('a', 'meanwhile');
  await gate.promise;
  assert.equal((await publish).offset, 1);
  assert.equal(server.frames('publish').length, 1);
});
