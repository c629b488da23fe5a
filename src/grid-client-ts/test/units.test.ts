import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../dist/backoff.js';
import { fromBase64, toBase64 } from '../dist/base64.js';
import { Emitter } from '../dist/emitter.js';
import { exceedsBytes, isChannelName, mayReconnect, parseFrame, redact, utf8Length } from '../dist/frames.js';
import { Queue } from '../dist/queue.js';
import { jwtExpiry } from '../dist/token.js';
import { jwt, seeded } from './support.js';

test('backoff draws from the whole span below a doubling, capped ceiling', () => {
  const ceilings = [100, 200, 400, 800, 1_000, 1_000];
  for (const share of [0, 0.25, 0.999]) {
    const backoff = new Backoff(100, 1_000, () => share);
    assert.deepEqual(ceilings.map(() => backoff.next()), ceilings.map((ceiling) => ceiling * share));
  }
});

test('backoff starts over after a reset, and survives a very long outage', () => {
  const backoff = new Backoff(100, 20_000, () => 1);
  for (let i = 0; i < 5_000; i++) {
    assert.ok(backoff.next() <= 20_000);
  }
  backoff.reset();
  assert.equal(backoff.next(), 100);
});

test('backoff stays within its bounds for any draw', () => {
  const random = seeded(7);
  const backoff = new Backoff(100, 20_000, random);
  for (let i = 0; i < 1_000; i++) {
    const delay = backoff.next();
    assert.ok(delay >= 0 && delay <= Math.min(20_000, 100 * 2 ** i));
  }
});

test('the queue keeps its order through any mix of pushes and shifts', () => {
  const random = seeded(3);
  const queue = new Queue<number>();
  const model: number[] = [];
  for (let i = 0; i < 10_000; i++) {
    if (random() < 0.52) {
      queue.push(i);
      model.push(i);
    } else {
      assert.equal(queue.peek(), model[0]);
      assert.equal(queue.shift(), model.shift());
    }
    assert.equal(queue.length, model.length);
  }
  queue.clear();
  assert.equal(queue.length, 0);
  assert.equal(queue.shift(), undefined);
});

test('base64 carries every byte, also many of them', () => {
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 31) & 0xff);
  assert.deepEqual(fromBase64(toBase64(bytes)), bytes);
  assert.equal(toBase64(new Uint8Array([104, 105])), 'aGk=');
});

test('frame sizes are counted in UTF-8 bytes', () => {
  for (const source of ['', 'plain', 'größe', '漢字', '🎈 a balloon']) {
    assert.equal(utf8Length(source), new TextEncoder().encode(source).length);
  }
  assert.equal(exceedsBytes('ab', 2), false);
  assert.equal(exceedsBytes('aü', 2), true);
  assert.equal(exceedsBytes('aü', 3), false);
});

test('channel names follow the grammar', () => {
  for (const good of ['room:1', 'a', 'A.b_c~d@e-f', 'x'.repeat(200)]) {
    assert.ok(isChannelName(good));
  }
  for (const bad of ['', 'room 1', 'raum:ü', 'a/b', 'x'.repeat(201), 7, undefined]) {
    assert.ok(!isChannelName(bad));
  }
});

test('only 45xx says not to reconnect', () => {
  assert.deepEqual([1000, 1006, 4000, 4003, 4499, 4600].filter((code) => !mayReconnect(code)), []);
  assert.deepEqual([4500, 4501, 4505, 4599].filter(mayReconnect), []);
});

test('frames are checked, unknown types and fields are let pass', () => {
  assert.deepEqual(parseFrame('{"type":"pong","extra":1}'), { type: 'pong', extra: 1 });
  assert.equal(parseFrame('{"type":"from-the-future"}'), undefined);
  assert.equal(parseFrame('{"type":"toString"}'), undefined);
  for (const broken of ['', 'x', 'null', '[]', '{}', '{"type":7}', '{"type":"message","channel":"a","offset":"1","at":0}',
    '{"type":"message","channel":"a","offset":1.5,"at":0}', '{"type":"published","channel":"a","epoch":"e","offset":-1,"duplicate":false}']) {
    assert.throws(() => parseFrame(broken), { code: 'protocol' }, broken);
  }
});

test('a frame is shown without the tokens in it', () => {
  const hello = JSON.stringify({ type: 'hello', token: 'se"cret', client: 'c', resume: { session: 's1', token: 'hidden', cursors: {} } });
  const shown = redact(hello);
  assert.ok(!shown.includes('cret') && !shown.includes('hidden') && shown.includes('s1'));
  const message = '{"type":"message","channel":"a","data":{"token":"of the application"}}';
  assert.equal(redact(message), message);
});

test('the expiry of a JWT is read, and nothing else is mistaken for one', () => {
  const now = 1_700_000_000_000;
  assert.equal(jwtExpiry(jwt({ exp: 1_700_000_600 }), now), now + 600_000);
  // This clock is behind: the token says an hour, its life span says ten minutes.
  assert.equal(jwtExpiry(jwt({ iat: 1_700_003_000, exp: 1_700_003_600 }), now), now + 600_000);
  // This clock is ahead: a token just given out is taken for fresh.
  assert.equal(jwtExpiry(jwt({ iat: 1_699_990_000, exp: 1_699_990_600 }), now), now + 600_000);
  for (const other of ['', 'opaque', 'a.b.c', jwt({}), jwt({ exp: 'soon' })]) {
    assert.equal(jwtExpiry(other, now), undefined);
  }
});

test('what a listener throws does not stop the others, and does not vanish', (t) => {
  const tasks: (() => void)[] = [];
  t.mock.method(globalThis, 'setTimeout', (task: () => void) => tasks.push(task));
  const emitter = new Emitter<{ tick: number }>();
  const heard: number[] = [];
  emitter.on('tick', () => {
    throw new Error('of the listener');
  });
  const stop = emitter.on('tick', (n) => heard.push(n));
  emitter.emit('tick', 1);
  stop();
  emitter.emit('tick', 2);
  assert.deepEqual(heard, [1]);
  assert.equal(tasks.length, 2);
  assert.throws(() => tasks[0]?.(), /of the listener/);
});
