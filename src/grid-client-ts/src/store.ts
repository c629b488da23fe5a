import { GridError, describe } from './errors.js';
import type { Position } from './frames.js';

/** Where a session is kept across page loads; `sessionStorage` is one. */
export interface GridStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** The session that a client can resume. */
export interface StoredSession {
  readonly id: string;
  readonly resumeToken: string;
}

interface Stored {
  readonly version: 1;
  readonly url: string;
  readonly session?: StoredSession;
  readonly cursors: { readonly [channel: string]: Position };
}

/** The most cursors kept for channels that nobody has subscribed to in this page; the oldest go first. */
const maxCursors = 1_000;

/**
 * Keeps the session and, for each channel, the position of the last message whose handler finished. A store that fails (full,
 * forbidden, garbled) costs the resume, never the connection.
 */
export class SessionStore {
  readonly #storage: GridStorage | undefined;
  readonly #key: string;
  readonly #url: string;
  readonly #onError: (error: GridError) => void;
  readonly #cursors = new Map<string, Position>();
  #session: StoredSession | undefined;
  #changed = false;

  constructor(storage: GridStorage | undefined, key: string, url: string, onError: (error: GridError) => void) {
    this.#storage = storage;
    this.#key = key;
    this.#url = url;
    this.#onError = onError;
    this.#load();
  }

  /** The session to resume. */
  get session(): StoredSession | undefined {
    return this.#session;
  }

  set session(session: StoredSession | undefined) {
    this.#session = session;
    this.#changed = true;
    this.save();
  }

  /** What an earlier page had finished with in a channel. */
  cursor(channel: string): Position | undefined {
    return this.#cursors.get(channel);
  }

  /** Notes how far a channel has been handled; undefined forgets it. Written by the next {@link save}. */
  setCursor(channel: string, position: Position | undefined): void {
    if (this.#storage === undefined) {
      return;
    }
    this.#changed = true;
    // Deleting first moves the channel to the young end.
    this.#cursors.delete(channel);
    if (position !== undefined) {
      this.#cursors.set(channel, position);
      if (this.#cursors.size > maxCursors) {
        this.#cursors.delete(this.#cursors.keys().next().value as string);
      }
    }
  }

  /** Writes what has changed. */
  save(): void {
    if (this.#storage === undefined || !this.#changed) {
      return;
    }
    this.#changed = false;
    const stored: Stored = {
      version: 1,
      url: this.#url,
      ...(this.#session === undefined ? {} : { session: this.#session }),
      cursors: Object.fromEntries(this.#cursors),
    };
    try {
      this.#storage.setItem(this.#key, JSON.stringify(stored));
    } catch (cause) {
      this.#onError(new GridError('storage', `The session could not be stored: ${describe(cause)}`, { cause }));
    }
  }

  #load(): void {
    try {
      const source = this.#storage?.getItem(this.#key);
      const stored = source ? (JSON.parse(source) as Partial<Stored> | null) : undefined;
      if (stored?.version !== 1 || stored.url !== this.#url) {
        return;
      }
      if (typeof stored.session?.id === 'string' && typeof stored.session.resumeToken === 'string') {
        this.#session = { id: stored.session.id, resumeToken: stored.session.resumeToken };
      }
      for (const [channel, position] of Object.entries(stored.cursors ?? {}).slice(-maxCursors)) {
        if (typeof position?.epoch === 'string' && Number.isSafeInteger(position.offset)) {
          this.#cursors.set(channel, { epoch: position.epoch, offset: position.offset });
        }
      }
    } catch {
      // Garbled or unreadable: begin anew.
      this.#session = undefined;
      this.#cursors.clear();
    }
  }
}
