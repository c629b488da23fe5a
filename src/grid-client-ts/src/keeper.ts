import { Backoff } from './backoff.js';
import type { ClientFrame } from './codec.js';
import { Timer } from './clock.js';
import { Connection, type Closed, type ConnectionOptions } from './connection.js';
import { GridError, describe } from './errors.js';
import { closeCodes, errorOf, mayReconnect, type PushFrame, type WelcomeFrame } from './frames.js';
import type { TokenSource } from './token.js';

/**
 * Where the client stands. `draining`: connected, and about to change over to another server because this one asked for it.
 * `closed` is final.
 */
export type ClientState = 'idle' | 'connecting' | 'connected' | 'draining' | 'reconnecting' | 'closed';

/** What the keeper tells its owner. */
export interface KeeperEvents {
  /** The `hello` frame, for this token. */
  hello(token: string | undefined): ClientFrame;
  /** A connection is up: everything goes over it from now on. */
  attach(connection: Connection, welcome: WelcomeFrame): void;
  /** The connection attached last is gone. */
  detach(): void;
  push(frame: PushFrame, size: number): void;
  state(state: ClientState, error: GridError | undefined): void;
  /** The connection ended for good. Comes before the state `closed`. */
  terminated(error: GridError): void;
  error(error: GridError): void;
  raw(direction: 'in' | 'out', text: () => string): void;
}

/** What a keeper needs. */
export interface KeeperOptions extends ConnectionOptions {
  readonly tokens: TokenSource;
  readonly backoff: Backoff;
  readonly random: () => number;
}

/** How long a connection must have lived for the next outage to start with short delays again, in milliseconds. */
const stableMs = 5_000;
/** How long after a failed token refresh the next one is tried, in milliseconds; the actual delay is jittered down to half. */
const refreshRetryMs = 5_000;

/** A connection being opened: first its token, then its socket. */
interface Attempt {
  connection?: Connection;
}

/**
 * Keeps a connection: opens it, opens the next one when it is lost or when the server says goodbye, decides by the close code
 * whether to go on, and replaces the token in time.
 */
export class Keeper {
  readonly #options: KeeperOptions;
  readonly #events: KeeperEvents;
  readonly #retry: Timer;
  readonly #refresh: Timer;
  #state: ClientState = 'idle';
  #active: Connection | undefined;
  #opening: Attempt | undefined;
  #welcomedAt = 0;
  #everConnected = false;
  /** Until when the server asked not to come back. */
  #comeBackAt = 0;
  /** Whether the token was replaced since the server last refused one: a second refusal is final. */
  #freshTokenTried = false;
  #frameSize = 0;

  constructor(options: KeeperOptions, events: KeeperEvents) {
    this.#options = options;
    this.#events = events;
    this.#retry = new Timer(options.clock);
    this.#refresh = new Timer(options.clock);
  }

  get state(): ClientState {
    return this.#state;
  }

  /** Starts connecting; does nothing when that has begun. */
  start(): void {
    if (this.#state === 'idle') {
      this.#setState('connecting');
      void this.#attempt();
    }
  }

  /** Closes for good; resolves when the socket is closed. `last` may still send frames. */
  async stop(): Promise<void> {
    const active = this.#active;
    this.#cease();
    this.#setState('closed');
    await active?.close();
  }

  /** Drops the socket as a network failure would. */
  drop(): void {
    this.#active?.fail(new GridError('connection', 'The socket was dropped on request.'));
  }

  async #attempt(): Promise<void> {
    if (this.#opening !== undefined || this.#state === 'closed') {
      return;
    }
    const attempt: Attempt = {};
    this.#opening = attempt;
    this.#retry.cancel();
    try {
      const token = await this.#options.tokens.get();
      if (this.#opening !== attempt) {
        return;
      }
      attempt.connection = new Connection(this.#options, {
        hello: () => this.#events.hello(token),
        welcome: (connection, frame) => this.#welcomed(connection, frame),
        push: (connection, frame) => this.#push(connection, frame),
        closed: (connection, how) => this.#closed(connection, how),
        raw: (direction, size, text) => {
          this.#frameSize = size;
          this.#events.raw(direction, text);
        },
      });
    } catch (thrown) {
      if (this.#opening !== attempt) {
        return;
      }
      this.#opening = undefined;
      const error = thrown instanceof GridError
        ? thrown
        : new GridError('connection', `The socket could not be opened: ${describe(thrown)}`, { cause: thrown });
      if (error.code === 'unauthorized') {
        // The application's own word that there is no token to be had.
        this.#terminate(error);
      } else {
        this.#events.error(error);
        this.#retryLater();
      }
    }
  }

  #welcomed(connection: Connection, frame: WelcomeFrame): void {
    const previous = this.#active;
    this.#active = connection;
    this.#opening = undefined;
    this.#everConnected = true;
    this.#welcomedAt = this.#options.clock.now();
    this.#comeBackAt = 0;
    this.#retry.cancel();
    if (previous !== undefined) {
      this.#events.detach();
      previous.abandon();
    }
    this.#events.attach(connection, frame);
    // What it brought may have made the owner close, or the connection fail.
    if (this.#active === connection) {
      this.#setState('connected');
      this.#scheduleRefresh();
    }
  }

  #push(connection: Connection, frame: PushFrame): void {
    if (connection !== this.#active) {
      // Of a connection not yet welcomed, only an error can come: why it will be closed.
      if (frame.type === 'error') {
        this.#events.error(errorOf(frame));
      }
      return;
    }
    if (frame.type === 'goaway') {
      // Make before break: this connection serves until the next one is welcomed.
      this.#comeBackAt = this.#options.clock.now() + frame.reconnectInMs;
      this.#setState('draining');
      this.#retry.arm(frame.reconnectInMs, () => void this.#attempt());
    } else if (frame.type === 'error' && frame.code === 'unauthorized' && this.#options.tokens.canRefresh) {
      void this.#replaceToken();
    }
    this.#events.push(frame, this.#frameSize);
  }

  #closed(connection: Connection, how: Closed): void {
    if (connection === this.#active) {
      this.#active = undefined;
      this.#refresh.cancel();
      if (this.#options.clock.now() - this.#welcomedAt >= stableMs) {
        this.#options.backoff.reset();
        this.#freshTokenTried = false;
      }
      this.#events.detach();
      // The session's newer connection is this client's own, on its way to be welcomed.
      const relieved = how.code === closeCodes.superseded && this.#opening?.connection !== undefined;
      this.#decide(relieved ? { ...how, code: 1000 } : how);
    } else if (connection === this.#opening?.connection) {
      this.#opening = undefined;
      this.#decide(how);
    }
  }

  #decide(how: Closed): void {
    const error = how.error ?? new GridError(
      how.code === closeCodes.unauthorized ? 'unauthorized' : mayReconnect(how.code) ? 'connection' : 'closed',
      `The server closed the connection: ${how.code}${how.reason === '' ? '' : ` ${how.reason}`}`, { closeCode: how.code });
    const secondChance = how.code === closeCodes.unauthorized && this.#options.tokens.canRefresh && !this.#freshTokenTried;
    if (secondChance) {
      this.#freshTokenTried = true;
      this.#options.tokens.refuse();
    } else if (!mayReconnect(how.code)) {
      this.#terminate(error);
      return;
    }
    this.#events.error(error);
    this.#retryLater();
  }

  /** Opens the next connection after a while, unless one is being opened. */
  #retryLater(): void {
    if (this.#state === 'closed') {
      return;
    }
    if (this.#active === undefined) {
      this.#setState(this.#everConnected ? 'reconnecting' : 'connecting');
    }
    if (this.#opening === undefined) {
      const delayMs = Math.max(this.#options.backoff.next(), this.#comeBackAt - this.#options.clock.now());
      this.#retry.arm(delayMs, () => void this.#attempt());
    }
  }

  #terminate(error: GridError): void {
    this.#active?.abandon();
    this.#cease();
    this.#events.terminated(error);
    this.#setState('closed', error);
  }

  #cease(): void {
    this.#retry.cancel();
    this.#refresh.cancel();
    this.#active = undefined;
    this.#opening?.connection?.abandon();
    this.#opening = undefined;
  }

  #setState(state: ClientState, error?: GridError): void {
    if (this.#state !== state && this.#state !== 'closed') {
      this.#state = state;
      this.#events.state(state, error);
    }
  }

  #scheduleRefresh(): void {
    const at = this.#options.tokens.refreshAt;
    if (at !== undefined) {
      // A token that is born nearly expired must not make a storm of refreshes.
      this.#refresh.arm(Math.max(1_000, at - this.#options.clock.now()), () => void this.#replaceToken());
    }
  }

  /** Gets a new token and hands it to the server in band. */
  async #replaceToken(): Promise<void> {
    this.#refresh.cancel();
    const connection = this.#active;
    const again = (error: GridError): void => {
      if (connection === this.#active && connection !== undefined) {
        this.#events.error(error);
        this.#refresh.arm(refreshRetryMs * (0.5 + this.#options.random() / 2), () => void this.#replaceToken());
      }
    };
    try {
      const token = await this.#options.tokens.fetch('refresh');
      if (connection === undefined || connection !== this.#active) {
        return;
      }
      connection.request({ type: 'auth', token }, (frame) => {
        if (frame.type === 'authorized') {
          this.#options.tokens.expires(Date.parse(frame.expiresAt));
          this.#scheduleRefresh();
        } else if (frame.type === 'error') {
          again(errorOf(frame));
        }
      });
    } catch (thrown) {
      again(thrown as GridError);
    }
  }
}
