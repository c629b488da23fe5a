import { Ledger } from './ledger.js';
import { Tap } from './tap.js';

/** A refusal that a visitor can do something about. */
export class Refused extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** Gets a token for a visitor. @returns {Promise<string>} */
async function visitorToken() {
  let response;
  try {
    response = await fetch('/playground/token', { method: 'POST', headers: { accept: 'application/json' }, cache: 'no-store' });
  } catch {
    throw new Refused('unreachable', 'The server does not answer.');
  }
  if (response.ok) {
    const { token } = await response.json();
    return token;
  }
  if (response.status === 401 || response.status === 403 || response.status === 404) {
    throw new Refused('disabled', 'This server does not let visitors into the playground.');
  }
  if (response.status === 429) {
    throw new Refused('busy', 'The server gives out no more visitor tokens for a moment.');
  }
  throw new Refused('unreachable', `The server cannot give a visitor token now (HTTP ${response.status}).`);
}

/** For how long a visitor's token is used for requests, in milliseconds; it is good for twelve hours. */
const tokenMs = 6 * 3_600_000;

/**
 * The connection of this page: the client, the sockets beneath it and the ledger above it.
 *
 * Events: `state` (read the fields), `frame` (a CustomEvent with the client's frame event), `problem` (detail: {kind, message}),
 * `well` (connected), `welcome` (detail: the welcome frame).
 */
export class Link extends EventTarget {
  tap = new Tap();
  ledger = new Ledger();
  /** `connecting`, `connected`, `draining`, `reconnecting` or `closed`. */
  state = 'connecting';
  /** Publishes that the server has not answered yet. */
  waiting = 0;
  session;
  /** Manages webhooks, for visitors: the server has the same endpoints for them below `/playground`. */
  webhooks;
  #client;
  #GridError;
  #visitor;
  #visitorSince = 0;

  /** Loads the SDK and makes the client, which {@link connect} starts. */
  async load() {
    let sdk;
    try {
      sdk = await import('../sdk/index.js');
    } catch (cause) {
      throw new Refused('sdk', `The client SDK at /sdk/ could not be loaded: ${cause.message}`);
    }
    this.#GridError = sdk.GridError;
    this.webhooks = new sdk.GridWebhooks({ url: '/playground', apiKey: 'visitor', fetch: (url, init) => this.request(url, init) });
    this.#client = new sdk.GridClient({
      url: '/v1/ws',
      client: 'grid-playground/1.0',
      tokenProvider: () => this.#token(),
      webSocket: this.tap.open,
      // Shorter than the default: a visitor who has just restarted the server is watching.
      reconnect: { minDelayMs: 50, maxDelayMs: 1_500 },
      // Long enough to kill a server, read on, and start it again.
      publishTimeoutMs: 600_000,
      // A replayed board is drawn as fast as it comes.
      maxBufferedMessages: 5_000,
    });
    this.#client.on('frame', (frame) => this.#frame(frame));
    this.#client.on('state', ({ state, error }) => this.#stateChanged(state, error));
    this.#client.on('error', (error) => this.#error(error));
  }

  connect() {
    // What makes it reject is told by the state `closed`.
    this.#client.connect().catch(() => undefined);
  }

  /**
   * Follows a channel. Messages go through the ledger first.
   * @param {{durable: boolean, from: unknown, onMessage(message: object): void, onGap?(gap: object): void, onReady?(): void}} options
   */
  follow(channel, { durable, from, onMessage, onGap, onReady }) {
    this.ledger.add(channel, durable);
    const subscription = this.#client.subscribe(channel, {
      from,
      onMessage: (message) => {
        if (this.ledger.message(message)) {
          onMessage(message);
        }
      },
      onGap: (gap) => {
        this.ledger.gap(gap);
        onGap?.(gap);
      },
      // One message that this page cannot show must not end the subscription.
      onError: (error) => {
        if (error.code === 'handler_failed') {
          console.error(error);
        }
        return 'skip';
      },
    });
    subscription.ready.then(() => {
      this.ledger.start(channel, subscription.epoch, subscription.cursor);
      onReady?.();
    }, (error) => {
      // The end of the whole client is told once, by its state.
      if (this.state !== 'closed') {
        this.#problem(error.code, `${channel}: ${error.message}`);
      }
    });
  }

  /** Publishes and resolves when the server has it on disk; while there is no connection it waits for one. */
  async publish(channel, data, options) {
    this.#count(1);
    try {
      return await this.#client.publish(channel, data, options);
    } finally {
      this.#count(-1);
    }
  }

  /** Publishes what is worthless when late. */
  publishFleeting(channel, data) {
    if (this.state === 'connected') {
      this.#client.publish(channel, data, { noReply: true }).catch(() => undefined);
    }
  }

  /** A request with a visitor's token; one that is refused is made once more with a new one. */
  async request(url, init = {}) {
    for (let last = false; ; last = true) {
      if (last || this.#visitor === undefined || Date.now() - this.#visitorSince > tokenMs) {
        this.#visitor = await visitorToken();
        this.#visitorSince = Date.now();
      }
      const headers = { ...init.headers, authorization: `Bearer ${this.#visitor}` };
      const response = await fetch(url, { ...init, headers, cache: 'no-store' });
      if (response.status !== 401 || last) {
        return response;
      }
    }
  }

  #count(change) {
    this.waiting += change;
    this.dispatchEvent(new Event('state'));
  }

  async #token() {
    try {
      return await visitorToken();
    } catch (refused) {
      this.#problem(refused.kind ?? 'unreachable', refused.message);
      // "unauthorized" tells the client not to ask again and again; all else passes.
      throw refused.kind === 'disabled' ? new this.#GridError('unauthorized', refused.message) : refused;
    }
  }

  #frame(frame) {
    let body;
    try {
      body = JSON.parse(frame.text);
    } catch {
      body = {};
    }
    this.dispatchEvent(new CustomEvent('frame', { detail: { ...frame, body } }));
    if (frame.direction === 'in' && body.type === 'welcome') {
      this.session = body.session;
      this.dispatchEvent(new CustomEvent('welcome', { detail: body }));
    }
  }

  #stateChanged(state, error) {
    this.state = state;
    this.dispatchEvent(new Event('state'));
    if (state === 'connected') {
      this.dispatchEvent(new Event('well'));
    } else if (state === 'closed') {
      this.#problem('closed', error?.message ?? 'The connection was closed.', error?.closeCode);
    }
  }

  #error(error) {
    if (['rate_limited', 'quota_exceeded', 'forbidden', 'unavailable', 'internal'].includes(error.code)) {
      this.#problem(error.code, error.message);
    }
  }

  #problem(kind, message, closeCode) {
    this.dispatchEvent(new CustomEvent('problem', { detail: { kind, message, closeCode } }));
  }
}
