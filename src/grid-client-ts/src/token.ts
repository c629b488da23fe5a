import type { Clock } from './clock.js';
import { GridError, describe } from './errors.js';

/** Why a token is asked for: to connect, to replace one that expires soon, or because the server refused the last one. */
export type TokenReason = 'connect' | 'refresh' | 'unauthorized';

/** Fetches a token, usually from the application's own server. */
export type TokenProvider = (reason: TokenReason) => Promise<string> | string;

/** How long before its expiry a token is replaced, in milliseconds, when its life is long enough for that. */
const longestMarginMs = 60_000;
const providerTimeoutMs = 30_000;

/**
 * When a JWT expires, in milliseconds since the Unix epoch by this machine's clock; undefined for anything else. Nothing is
 * verified: it only tells the client when to ask for the next one.
 */
export function jwtExpiry(token: string, now: number): number | undefined {
  const parts = token.split('.');
  if (parts.length !== 3) {
    return undefined;
  }
  try {
    const claims = JSON.parse(atob((parts[1] as string).replace(/-/g, '+').replace(/_/g, '/'))) as { exp?: unknown; iat?: unknown };
    if (typeof claims.exp !== 'number') {
      return undefined;
    }
    const expiry = claims.exp * 1000;
    if (typeof claims.iat !== 'number') {
      return expiry;
    }
    // This machine's clock may be off. A token cannot outlive its own life span, and one that was just given out has not expired.
    const latest = now + (claims.exp - claims.iat) * 1000;
    return expiry > now ? Math.min(expiry, latest) : latest;
  } catch {
    return undefined;
  }
}

/** Holds the token in use and gets the next one. */
export class TokenSource {
  readonly #provider: TokenProvider | undefined;
  readonly #clock: Clock;
  #token: string | undefined;
  #refreshAt: number | undefined;
  #refused = false;
  #fetching: Promise<string> | undefined;

  constructor(token: string | undefined, provider: TokenProvider | undefined, clock: Clock) {
    this.#provider = provider;
    this.#clock = clock;
    if (token !== undefined) {
      this.#keep(token, jwtExpiry(token, clock.now()));
    }
  }

  /** Whether a new token can be got. */
  get canRefresh(): boolean {
    return this.#provider !== undefined;
  }

  /** When to fetch the next token, in milliseconds since the Unix epoch; undefined when there is no need or no way to. */
  get refreshAt(): number | undefined {
    return this.canRefresh ? this.#refreshAt : undefined;
  }

  /** The token to connect with: the one held, or a new one when that is missing, refused or about to expire. */
  async get(): Promise<string | undefined> {
    const usable = this.#token !== undefined && !this.#refused
      && (this.#refreshAt === undefined || this.#clock.now() < this.#refreshAt);
    if (usable || !this.canRefresh) {
      return this.#token;
    }
    return this.fetch(this.#refused ? 'unauthorized' : this.#token === undefined ? 'connect' : 'refresh');
  }

  /** Asks the provider for a new token; one question at a time, whose answer all share. */
  fetch(reason: TokenReason): Promise<string> {
    this.#fetching ??= this.#ask(reason).finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  /** The server refused the token held: the next {@link get} fetches another. */
  refuse(): void {
    this.#refused = true;
  }

  /** The server said when the token held expires: news only for a token that does not say so itself. */
  expires(at: number): void {
    if (this.#refreshAt === undefined && !Number.isNaN(at)) {
      this.#schedule(at);
    }
  }

  async #ask(reason: TokenReason): Promise<string> {
    let handle: unknown;
    const late = new Promise<never>((_, reject) => {
      handle = this.#clock.setTimeout(
        () => reject(new GridError('token_provider', 'The token provider did not answer in time.')), providerTimeoutMs);
    });
    try {
      const token = await Promise.race([Promise.resolve((this.#provider as TokenProvider)(reason)), late]);
      if (typeof token !== 'string' || token === '') {
        throw new GridError('token_provider', 'The token provider gave no token.');
      }
      this.#refused = false;
      this.#keep(token, jwtExpiry(token, this.#clock.now()));
      return token;
    } catch (thrown) {
      throw thrown instanceof GridError
        ? thrown
        : new GridError('token_provider', `The token provider failed: ${describe(thrown)}`, { cause: thrown });
    } finally {
      this.#clock.clearTimeout(handle);
    }
  }

  #keep(token: string, expiry: number | undefined): void {
    this.#token = token;
    this.#schedule(expiry);
  }

  /**
   * A minute early, or at four fifths of a life shorter than five minutes. An expiry in the past says that this machine's clock
   * is ahead: then the server's word, and not the clock, brings the next refresh.
   */
  #schedule(expiry: number | undefined): void {
    const now = this.#clock.now();
    this.#refreshAt = expiry === undefined || expiry <= now ? undefined : expiry - Math.min(longestMarginMs, (expiry - now) / 5);
  }
}
