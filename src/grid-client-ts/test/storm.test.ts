import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Message } from '@grid/client';
import { Collector, clientOf, seeded, serve } from './support.js';

const channels = ['a', 'b', 'c'];
const perChannel = 100;

// A server that cuts sockets at any frame, in either direction, forgets sessions and sends repeats after a resume; a publisher
// and consumers of both kinds that must not notice. A failing seed fails again.
for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`every message once and in order through random cuts (seed ${seed})`, async (t) => {
    const random = seeded(seed);
    const server = await serve(t);
    server.resumeRewind = seed % 4;
    let calm = false;
    const cut = (connection: { cut(): void }, chance: number): boolean => {
      if (calm || random() >= chance) {
        return false;
      }
      if (random() < 0.1) {
        server.sessions.clear();
      }
      connection.cut();
      return true;
    };
    server.intercept = (connection) => cut(connection, 0.02);
    server.beforeSend = (connection) => !cut(connection, 0.01);

    const publisher = clientOf(t, server, { reconnect: { minDelayMs: 1, maxDelayMs: 4 }, random });
    const consumer = clientOf(t, server, { reconnect: { minDelayMs: 1, maxDelayMs: 4 }, random, maxBufferedMessages: 16, ackBatch: 5 });
    const seen = new Map(channels.map((name) => [name, new Collector<Message<number>>()]));
    const gaps: unknown[] = [];
    consumer.on('gap', (gap) => gaps.push(gap));
    const collect = (name: string): Collector<Message<number>> => seen.get(name) as Collector<Message<number>>;
    consumer.subscribe<number>('a', { from: 'start', onMessage: collect('a').add });
    consumer.subscribe<number>('b', {
      from: 'start',
      onMessage: async (message) => {
        await new Promise((resolve) => setImmediate(resolve));
        collect('b').add(message);
      },
    });
    const stream = consumer.subscribe<number>('c', { from: 'start' });
    const streaming = (async () => {
      for await (const message of stream) {
        collect('c').add(message);
      }
    })();
    void consumer.connect();
    void publisher.connect();

    const results: Promise<{ offset: number }>[] = [];
    for (let n = 1; n <= perChannel; n++) {
      for (const name of channels) {
        results.push(publisher.publish(name, n));
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    const stored = await Promise.all(results);
    await Promise.all(channels.map((name) => collect(name).count(perChannel)));
    calm = true;
    // One message more through a calm connection shows that nothing trails behind.
    await Promise.all(channels.map((name) => publisher.publish(name, perChannel + 1)));
    await Promise.all(channels.map((name) => collect(name).count(perChannel + 1)));
    await consumer.close();
    await streaming;

    const expected = Array.from({ length: perChannel + 1 }, (_, i) => i + 1);
    for (const name of channels) {
      assert.equal(server.channel(name).head, perChannel + 1, 'stored once each');
      assert.deepEqual(collect(name).items.map(({ data }) => data), expected);
      assert.deepEqual(collect(name).items.map(({ offset }) => offset), expected);
    }
    assert.deepEqual(stored.map(({ offset }) => offset), expected.slice(0, -1).flatMap((n) => channels.map(() => n)));
    assert.deepEqual(gaps, []);
    assert.ok(server.connections.length > 4, 'the storm did cut');
  });
}
