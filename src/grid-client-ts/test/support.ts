import type { TestContext } from 'node:test';
import { GridClient, jsonCodec, type Clock, type ClientState, type GridClientOptions, type Message, type WebSocketLike } from '@grid/client';
import { protoCodec } from '@grid/client/proto';
import { WebSocket } from 'ws';
import { FakeServer } from './fake-server.js';

export const webSocket = (url: string, protocols: string[]): WebSocketLike => new WebSocket(url, protocols);

/** A server that ends with the test. */
export async function serve(t: TestContext): Promise<FakeServer> {
  const server = await FakeServer.start();
  t.after(() => server.stop());
  return server;
}

/** What the clients of this run speak: all tests run once in each form. */
export const codec = process.env.GRID_WIRE === 'proto' ? protoCodec : jsonCodec;

/** A client that ends with the test, and reconnects without delay. */
export function clientOf(t: TestContext, server: FakeServer, options: Partial<GridClientOptions> = {}): GridClient {
  const client = new GridClient({ url: server.url, webSocket, codec, random: () => 0, ...options });
  t.after(() => client.close());
  return client;
}

export async function connected(t: TestContext, server: FakeServer, options: Partial<GridClientOptions> = {}): Promise<GridClient> {
  const client = clientOf(t, server, options);
  await client.connect();
  return client;
}

/** Resolves when the client next enters the state. */
export function entered(client: GridClient, state: ClientState): Promise<void> {
  return new Promise((resolve) => {
    const stop = client.on('state', (event) => {
      if (event.state === state) {
        stop();
        resolve();
      }
    });
  });
}

/** Collects what a handler is given, and lets a test wait for it. */
export class Collector<Item = Message<any>> {
  readonly items: Item[] = [];
  readonly #waiters = new Set<() => void>();

  readonly add = (item: Item): void => {
    this.items.push(item);
    for (const look of [...this.#waiters]) {
      look();
    }
  };

  count(count: number): Promise<void> {
    return this.until(() => this.items.length >= count);
  }

  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (condition()) {
          this.#waiters.delete(look);
          resolve();
        }
      };
      this.#waiters.add(look);
      look();
    });
  }
}

/** A promise and what settles it. */
export function deferred<Value = void>(): { promise: Promise<Value>; resolve: (value: Value) => void; reject: (error: unknown) => void } {
  let resolve!: (value: Value) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<Value>((ok, fail) => {
    resolve = ok;
    reject = fail;
  });
  return { promise, resolve, reject };
}

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  #now = 1_700_000_000_000;
  #timers: { at: number; action: () => void }[] = [];
  readonly #waiters = new Set<() => void>();

  now(): number {
    return this.#now;
  }

  setTimeout(action: () => void, delayMs: number): unknown {
    const timer = { at: this.#now + delayMs, action };
    this.#timers.push(timer);
    for (const look of [...this.#waiters]) {
      look();
    }
    return timer;
  }

  clearTimeout(handle: unknown): void {
    this.#timers = this.#timers.filter((timer) => timer !== handle);
  }

  /** Resolves when a timer waits that fires within `delayMs`. */
  armed(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#timers.some(({ at }) => at <= this.#now + delayMs)) {
          this.#waiters.delete(look);
          resolve();
        }
      };
      this.#waiters.add(look);
      look();
    });
  }

  /** Moves on, firing what falls due in its order. */
  advance(delayMs: number): void {
    const until = this.#now + delayMs;
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) {
        break;
      }
      this.clearTimeout(due);
      this.#now = Math.max(this.#now, due.at);
      due.action();
    }
    this.#now = until;
  }
}

/** A small seeded generator (mulberry32), so that a failing run can be repeated. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** An unsigned token that expires; enough for a client that does not verify. */
export function jwt(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none' })}.${part(claims)}.x`;
}

export function memoryStorage(): { getItem(key: string): string | null; setItem(key: string, value: string): void; removeItem(key: string): void } {
  const items = new Map<string, string>();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}
