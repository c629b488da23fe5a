import { GridError, describe } from './errors.js';
/** The most cursors kept for channels that nobody has subscribed to in this page; the oldest go first. */
const maxCursors = 1_000;
/**
 * Keeps the session and, for each channel, the position of the last message whose handler finished. A store that fails (full,
 * forbidden, garbled) costs the resume, never the connection.
 */
export class SessionStore {
    #storage;
    #key;
    #url;
    #onError;
    #cursors = new Map();
    #session;
    #changed = false;
    constructor(storage, key, url, onError) {
        this.#storage = storage;
        this.#key = key;
        this.#url = url;
        this.#onError = onError;
        this.#load();
    }
    /** The session to resume. */
    get session() {
        return this.#session;
    }
    set session(session) {
        this.#session = session;
        this.#changed = true;
        this.save();
    }
    /** What an earlier page had finished with in a channel. */
    cursor(channel) {
        return this.#cursors.get(channel);
    }
    /** Notes how far a channel has been handled; undefined forgets it. Written by the next {@link save}. */
    setCursor(channel, position) {
        if (this.#storage === undefined) {
            return;
        }
        this.#changed = true;
        // Deleting first moves the channel to the young end.
        this.#cursors.delete(channel);
        if (position !== undefined) {
            this.#cursors.set(channel, position);
            if (this.#cursors.size > maxCursors) {
                this.#cursors.delete(this.#cursors.keys().next().value);
            }
        }
    }
    /** Writes what has changed. */
    save() {
        if (this.#storage === undefined || !this.#changed) {
            return;
        }
        this.#changed = false;
        const stored = {
            version: 1,
            url: this.#url,
            ...(this.#session === undefined ? {} : { session: this.#session }),
            cursors: Object.fromEntries(this.#cursors),
        };
        try {
            this.#storage.setItem(this.#key, JSON.stringify(stored));
        }
        catch (cause) {
            this.#onError(new GridError('storage', `The session could not be stored: ${describe(cause)}`, { cause }));
        }
    }
    #load() {
        try {
            const source = this.#storage?.getItem(this.#key);
            const stored = source ? JSON.parse(source) : undefined;
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
        }
        catch {
            // Garbled or unreadable: begin anew.
            this.#session = undefined;
            this.#cursors.clear();
        }
    }
}
