import { Backoff } from './backoff.js';
import { systemClock, type Clock } from './clock.js';
import { jsonCodec, type Codec, type HelloFrame } from './codec.js';
import type { Connection } from './connection.js';
import { Emitter } from './emitter.js';
import { GridError } from './errors.js';
import { closeCodes, errorOf, utf8Length, type Gap, type PushFrame, type WelcomeFrame } from './frames.js';
import { Keeper, type ClientState } from './keeper.js';
import { Publisher, type PublishOptions, type PublishResult } from './publisher.js';
import { platformWebSocket, type WebSocketFactory } from './socket.js';
import { SessionStore, type GridStorage } from './store.js';
import type { SubscribeOptions, Subscription } from './subscription.js';
import { Subscriptions } from './subscriptions.js';
import { TokenSource, type TokenProvider } from './token.js';

/** Options of {@link GridClient}. Only `url` is needed, and a token where the server asks for one. */
export interface GridClientOptions {
  /** The server: `ws`, `wss`, `http` or `https`; without a path, `/v1/ws` is meant. In a browser it may be relative. */
  readonly url: string;
  /** A token that is good for the client's whole life. */
  readonly token?: string;
  /** Fetches tokens: the first, each next one before a JWT expires, and one when the server refused the last. */
  readonly tokenProvider?: TokenProvider;
  /** Name and version of the application, for the server's logs. */
  readonly client?: string;
  /** Delays between attempts to connect: drawn evenly from 0 to `min(maxDelayMs, minDelayMs · 2ⁿ)`. Defaults 100 and 20,000. */
  readonly reconnect?: { readonly minDelayMs?: number; readonly maxDelayMs?: number };
  /** Publishes that may wait for an answer at once; default 1,000. One more is rejected with `queue_full`. */
  readonly maxQueuedPublishes?: number;
  /** The same in bytes; default 4 MiB. */
  readonly maxQueuedBytes?: number;
  /** How long a publish may wait for its answer, in milliseconds; default 30,000. */
  readonly publishTimeoutMs?: number;
  /** Messages that may wait for one subscription's consumer; default 1,000. Past it the channel is paused, and read on later. */
  readonly maxBufferedMessages?: number;
  /** The same in bytes; default 8 MiB. */
  readonly maxBufferedBytes?: number;
  /** How long an acknowledgement may wait for others to join it, in milliseconds; default 1,000. */
  readonly ackIntervalMs?: number;
  /** After how many handled messages acknowledgements are sent at the latest; default 64. */
  readonly ackBatch?: number;
  /** From opening a socket to the server's welcome, in milliseconds; default 10,000. */
  readonly connectTimeoutMs?: number;
  /**
   * The form of frames on the wire; default `jsonCodec`. With `protoCodec` of `@grid/client/proto` frames are Protocol Buffers: smaller,
   * and bytes travel as they are.
   */
  readonly codec?: Codec;
  /** Makes sockets; default the platform's `WebSocket`. Node 20 has none: pass `(url, p) => new WS(url, p)` of a package. */
  readonly webSocket?: WebSocketFactory;
  /** Keeps the session and the cursors across page loads, for example `sessionStorage`; default none. */
  readonly storage?: GridStorage;
  /** The storage's key; default `grid.session`. */
  readonly storageKey?: string;
  /** Draws from [0, 1), for jitter; default `Math.random`. */
  readonly random?: () => number;
  /** The clock; default the machine's. */
  readonly clock?: Clock;
}

/** What {@link GridClient.on} can be asked for. */
export interface GridClientEvents {
  /** The state has changed. With `closed`, `error` says why, unless it was {@link GridClient.close}. */
  state: { readonly state: ClientState; readonly previous: ClientState; readonly error?: GridError };
  /** Messages will never be delivered. Comes when the client learns it; `onGap` comes at its place in the order. */
  gap: Gap;
  /** The server asks to change over to another one; the client does, without losing messages. */
  goaway: { readonly reason: string; readonly reconnectInMs: number };
  /** Anything that went wrong, also where the client goes on by itself. For logs. */
  error: GridError;
  /** A frame as on the wire, but for tokens, which are replaced by `…`; as JSON, whatever the codec. */
  frame: { readonly direction: 'in' | 'out'; readonly text: string; readonly at: number };
  /** The session was gone; a new one was made and every subscription asked for again from where it stood. */
  sessionExpired: { readonly previousSession: string; readonly session: string };
}

/** Sent as `client` when the application gives no name. */
const defaultClientName = 'grid-client-ts/0.1.0';
/** For the answer to subscribe, unsubscribe and auth. */
const requestTimeoutMs = 30_000;

function socketUrl(url: string): string {
  const base = (globalThis as { location?: { href: string } }).location?.href;
  let parsed: URL;
  try {
    parsed = new URL(url, base);
  } catch (cause) {
    throw new GridError('bad_argument', `"${url}" is no URL.`, { cause });
  }
  parsed.protocol = parsed.protocol.replace(/^http/, 'ws');
  if (parsed.protocol !== 'ws:' && parsed.protocol !== 'wss:') {
    throw new GridError('bad_argument', `"${url}" is no URL of a WebSocket.`);
  }
  if (parsed.pathname === '/') {
    parsed.pathname = '/v1/ws';
  }
  parsed.hash = '';
  return parsed.href;
}

/**
 * A client of Grid: one session, kept alive over as many sockets as it takes. Closing is final; for another session make
 * another client.
 */
export class GridClient {
  readonly #emitter = new Emitter<GridClientEvents>();
  readonly #clock: Clock;
  readonly #clientName: string;
  readonly #store: SessionStore;
  readonly #subscriptions: Subscriptions;
  readonly #publisher: Publisher;
  readonly #keeper: Keeper;
  readonly #waiting = new Set<{ resolve(): void; reject(error: GridError): void }>();
  readonly #onPageHide = (): void => this.#subscriptions.flush();
  #state: ClientState = 'idle';
  #closeError: GridError | undefined;
  #maxFrameBytes: number | undefined;
  #lastId = 0;

  constructor(options: GridClientOptions) {
    const clock = options.clock ?? systemClock;
    const random = options.random ?? Math.random;
    const codec = options.codec ?? jsonCodec;
    const webSocket = options.webSocket ?? platformWebSocket();
    if (webSocket === undefined) {
      throw new GridError('bad_argument', 'This platform has no WebSocket: pass the option `webSocket`.');
    }
    const url = socketUrl(options.url);
    const onError = (error: GridError): void => this.#emitter.emit('error', error);
    const nextId = (): number => ++this.#lastId;
    const tokens = new TokenSource(options.token, options.tokenProvider, clock);
    this.#clock = clock;
    this.#clientName = options.client ?? defaultClientName;
    this.#store = new SessionStore(options.storage, options.storageKey ?? 'grid.session', url, onError);
    this.#subscriptions = new Subscriptions({
      clock, random, onError,
      store: this.#store,
      maxBufferedMessages: options.maxBufferedMessages ?? 1_000,
      maxBufferedBytes: options.maxBufferedBytes ?? 8 * 1024 * 1024,
      ackIntervalMs: options.ackIntervalMs ?? 1_000,
      ackBatch: options.ackBatch ?? 64,
      canRefresh: tokens.canRefresh,
      onGap: (gap) => this.#emitter.emit('gap', gap),
    });
    this.#publisher = new Publisher({
      codec, clock, random, nextId,
      maxQueued: options.maxQueuedPublishes ?? 1_000,
      maxQueuedBytes: options.maxQueuedBytes ?? 4 * 1024 * 1024,
      timeoutMs: options.publishTimeoutMs ?? 30_000,
      canRefresh: tokens.canRefresh,
    });
    this.#keeper = new Keeper({
      url, webSocket, codec, clock, random, tokens, nextId, requestTimeoutMs,
      connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
      backoff: new Backoff(options.reconnect?.minDelayMs ?? 100, options.reconnect?.maxDelayMs ?? 20_000, random),
    }, {
      hello: (token) => this.#hello(token),
      attach: (connection, welcome) => this.#attach(connection, welcome),
      detach: () => this.#detach(),
      push: (frame, size) => this.#push(frame, size),
      state: (state, error) => this.#stateChanged(state, error),
      terminated: (error) => this.#terminated(error),
      error: onError,
      raw: (direction, text) => this.#raw(direction, text),
    });
    if (options.storage !== undefined) {
      globalThis.addEventListener?.('pagehide', this.#onPageHide);
    }
  }

  /** Where the client stands. */
  get state(): ClientState {
    return this.#state;
  }

  /** Why the client is closed; undefined while it is not, and after {@link close}. */
  get closeError(): GridError | undefined {
    return this.#closeError;
  }

  /** The session's id on the server; undefined before the first welcome. */
  get session(): string | undefined {
    return this.#store.session?.id;
  }

  /** Listens to an event; the function returned stops that. */
  on<Name extends keyof GridClientEvents>(name: Name, listener: (event: GridClientEvents[Name]) => void): () => void {
    return this.#emitter.on(name, listener);
  }

  /**
   * Connects, and from then on keeps connected. Resolves when the connection is up, however many attempts that takes; rejects
   * when the server says not to come back, or the client is closed.
   */
  connect(): Promise<void> {
    if (this.#state === 'closed') {
      return Promise.reject(this.#closeError ?? new GridError('closed', 'The client is closed.'));
    }
    if (this.#state === 'connected' || this.#state === 'draining') {
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      this.#waiting.add({ resolve, reject });
      this.#keeper.start();
    });
  }

  /**
   * Sends the acknowledgements that wait, then closes for good. Unanswered publishes are rejected with `closed`, messages not
   * yet handled are dropped; the session stays on the server until its window ends. {@link flush} first to keep publishes.
   */
  async close(): Promise<void> {
    if (this.#state === 'closed') {
      return;
    }
    this.#subscriptions.endAll(undefined);
    this.#publisher.close(new GridError('closed', 'close() was called.'));
    this.#leavePage();
    await this.#keeper.stop();
  }

  /** Resolves when every publish so far has its answer; sends the acknowledgements that wait, and stores the cursors. */
  async flush(): Promise<void> {
    this.#subscriptions.flush();
    await this.#publisher.whenIdle();
  }

  /**
   * Subscribes to a channel: with `onMessage`, or by iterating over what is returned. Can be called in any state but `closed`.
   * Throws `already_subscribed` when this client has a subscription to the channel.
   */
  subscribe<Data = unknown>(channel: string, options: SubscribeOptions<Data> = {}): Subscription<Data> {
    if (this.#state === 'closed') {
      throw new GridError('closed', 'The client is closed.', { channel });
    }
    return this.#subscriptions.add(channel, options);
  }

  /** Publishes and asks for no answer: see {@link PublishOptions.noReply}. */
  publish(channel: string, data: unknown, options: PublishOptions & { readonly noReply: true }): Promise<undefined>;
  /**
   * Publishes a JSON value or, as a `Uint8Array`, bytes. Resolves when the server has answered, on a durable channel: when the
   * message is on disk. Without a connection it waits for one. What is published to one channel keeps its order.
   *
   * Rejects with `queue_full` at once, with `timeout`, `closed` or a code of the server later; `outcomeUnknown` of the error
   * says whether the message may have been stored.
   */
  publish(channel: string, data: unknown, options?: PublishOptions): Promise<PublishResult>;
  publish(channel: string, data: unknown, options: PublishOptions = {}): Promise<PublishResult | undefined> {
    return this.#publisher.publish(channel, data, options);
  }

  /** Drops the socket as a network failure would, and reconnects: for demonstrations and tests. */
  dropConnection(): void {
    this.#keeper.drop();
  }

  #hello(token: string | undefined): HelloFrame {
    const session = this.#store.session;
    const fields = { type: 'hello', token, client: this.#clientName } as const;
    if (session === undefined) {
      return fields;
    }
    const resume = { session: session.id, token: session.resumeToken };
    // Measured as JSON, of whose frames those of other codecs are no larger.
    const used = utf8Length(JSON.stringify({ ...fields, resume }));
    const cursors = this.#subscriptions.cursors((this.#maxFrameBytes ?? 65_536) - used);
    return { ...fields, resume: { ...resume, cursors } };
  }

  #attach(connection: Connection, welcome: WelcomeFrame): void {
    const previous = this.#store.session;
    this.#maxFrameBytes = welcome.maxFrameBytes;
    this.#store.session = { id: welcome.session, resumeToken: welcome.resumeToken };
    if (previous !== undefined && welcome.state !== 'resumed') {
      this.#emitter.emit('sessionExpired', { previousSession: previous.id, session: welcome.session });
    }
    this.#subscriptions.attach(connection, welcome);
    this.#publisher.attach(connection);
  }

  #detach(): void {
    this.#subscriptions.detach();
    this.#publisher.detach();
  }

  #push(frame: PushFrame, size: number): void {
    switch (frame.type) {
      case 'message':
        this.#subscriptions.message(frame, size);
        break;
      case 'gap':
        this.#subscriptions.gap(frame);
        break;
      case 'goaway':
        this.#emitter.emit('goaway', { reason: frame.reason, reconnectInMs: frame.reconnectInMs });
        break;
      case 'error':
        this.#emitter.emit('error', errorOf(frame));
        break;
    }
  }

  #stateChanged(state: ClientState, error: GridError | undefined): void {
    const previous = this.#state;
    this.#state = state;
    if (state === 'connected' || state === 'closed') {
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const { resolve, reject } of waiting) {
        if (state === 'connected') {
          resolve();
        } else {
          reject(error ?? new GridError('closed', 'The client was closed.'));
        }
      }
    }
    this.#emitter.emit('state', { state, previous, ...(error === undefined ? {} : { error }) });
  }

  #terminated(error: GridError): void {
    this.#closeError = error;
    // A session that another connection holds, or that is closed, is not this client's to resume.
    const gone: readonly (number | undefined)[] = [closeCodes.superseded, closeCodes.revoked, closeCodes.sessionClosed];
    if (gone.includes(error.closeCode)) {
      this.#store.session = undefined;
    }
    this.#subscriptions.endAll(error);
    this.#publisher.close(error);
    this.#leavePage();
    this.#emitter.emit('error', error);
  }

  #leavePage(): void {
    globalThis.removeEventListener?.('pagehide', this.#onPageHide);
  }

  #raw(direction: 'in' | 'out', text: () => string): void {
    if (this.#emitter.has('frame')) {
      this.#emitter.emit('frame', { direction, text: text(), at: this.#clock.now() });
    }
  }
}
