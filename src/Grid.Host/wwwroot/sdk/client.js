import { Backoff } from './backoff.js';
import { systemClock } from './clock.js';
import { jsonCodec } from './codec.js';
import { Emitter } from './emitter.js';
import { GridError } from './errors.js';
import { closeCodes, errorOf, utf8Length } from './frames.js';
import { Keeper } from './keeper.js';
import { Publisher } from './publisher.js';
import { platformWebSocket } from './socket.js';
import { SessionStore } from './store.js';
import { Subscriptions } from './subscriptions.js';
import { TokenSource } from './token.js';
/** Sent as `client` when the application gives no name. */
const defaultClientName = 'grid-client-ts/0.1.0';
/** For the answer to subscribe, unsubscribe and auth. */
const requestTimeoutMs = 30_000;
function socketUrl(url) {
    const base = globalThis.location?.href;
    let parsed;
    try {
        parsed = new URL(url, base);
    }
    catch (cause) {
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
    #emitter = new Emitter();
    #clock;
    #clientName;
    #store;
    #subscriptions;
    #publisher;
    #keeper;
    #waiting = new Set();
    #onPageHide = () => this.#subscriptions.flush();
    #state = 'idle';
    #closeError;
    #maxFrameBytes;
    #lastId = 0;
    constructor(options) {
        const clock = options.clock ?? systemClock;
        const random = options.random ?? Math.random;
        const codec = options.codec ?? jsonCodec;
        const webSocket = options.webSocket ?? platformWebSocket();
        if (webSocket === undefined) {
            throw new GridError('bad_argument', 'This platform has no WebSocket: pass the option `webSocket`.');
        }
        const url = socketUrl(options.url);
        const onError = (error) => this.#emitter.emit('error', error);
        const nextId = () => ++this.#lastId;
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
    get state() {
        return this.#state;
    }
    /** Why the client is closed; undefined while it is not, and after {@link close}. */
    get closeError() {
        return this.#closeError;
    }
    /** The session's id on the server; undefined before the first welcome. */
    get session() {
        return this.#store.session?.id;
    }
    /** Listens to an event; the function returned stops that. */
    on(name, listener) {
        return this.#emitter.on(name, listener);
    }
    /**
     * Connects, and from then on keeps connected. Resolves when the connection is up, however many attempts that takes; rejects
     * when the server says not to come back, or the client is closed.
     */
    connect() {
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
    async close() {
        if (this.#state === 'closed') {
            return;
        }
        this.#subscriptions.endAll(undefined);
        this.#publisher.close(new GridError('closed', 'close() was called.'));
        this.#leavePage();
        await this.#keeper.stop();
    }
    /** Resolves when every publish so far has its answer; sends the acknowledgements that wait, and stores the cursors. */
    async flush() {
        this.#subscriptions.flush();
        await this.#publisher.whenIdle();
    }
    /**
     * Subscribes to a channel: with `onMessage`, or by iterating over what is returned. Can be called in any state but `closed`.
     * Throws `already_subscribed` when this client has a subscription to the channel.
     */
    subscribe(channel, options = {}) {
        if (this.#state === 'closed') {
            throw new GridError('closed', 'The client is closed.', { channel });
        }
        return this.#subscriptions.add(channel, options);
    }
    publish(channel, data, options = {}) {
        return this.#publisher.publish(channel, data, options);
    }
    /** Drops the socket as a network failure would, and reconnects: for demonstrations and tests. */
    dropConnection() {
        this.#keeper.drop();
    }
    #hello(token) {
        const session = this.#store.session;
        const fields = { type: 'hello', token, client: this.#clientName };
        if (session === undefined) {
            return fields;
        }
        const resume = { session: session.id, token: session.resumeToken };
        // Measured as JSON, of whose frames those of other codecs are no larger.
        const used = utf8Length(JSON.stringify({ ...fields, resume }));
        const cursors = this.#subscriptions.cursors((this.#maxFrameBytes ?? 65_536) - used);
        return { ...fields, resume: { ...resume, cursors } };
    }
    #attach(connection, welcome) {
        const previous = this.#store.session;
        this.#maxFrameBytes = welcome.maxFrameBytes;
        this.#store.session = { id: welcome.session, resumeToken: welcome.resumeToken };
        if (previous !== undefined && welcome.state !== 'resumed') {
            this.#emitter.emit('sessionExpired', { previousSession: previous.id, session: welcome.session });
        }
        this.#subscriptions.attach(connection, welcome);
        this.#publisher.attach(connection);
    }
    #detach() {
        this.#subscriptions.detach();
        this.#publisher.detach();
    }
    #push(frame, size) {
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
    #stateChanged(state, error) {
        const previous = this.#state;
        this.#state = state;
        if (state === 'connected' || state === 'closed') {
            const waiting = [...this.#waiting];
            this.#waiting.clear();
            for (const { resolve, reject } of waiting) {
                if (state === 'connected') {
                    resolve();
                }
                else {
                    reject(error ?? new GridError('closed', 'The client was closed.'));
                }
            }
        }
        this.#emitter.emit('state', { state, previous, ...(error === undefined ? {} : { error }) });
    }
    #terminated(error) {
        this.#closeError = error;
        // A session that another connection holds, or that is closed, is not this client's to resume.
        const gone = [closeCodes.superseded, closeCodes.revoked, closeCodes.sessionClosed];
        if (gone.includes(error.closeCode)) {
            this.#store.session = undefined;
        }
        this.#subscriptions.endAll(error);
        this.#publisher.close(error);
        this.#leavePage();
        this.#emitter.emit('error', error);
    }
    #leavePage() {
        globalThis.removeEventListener?.('pagehide', this.#onPageHide);
    }
    #raw(direction, text) {
        if (this.#emitter.has('frame')) {
            this.#emitter.emit('frame', { direction, text: text(), at: this.#clock.now() });
        }
    }
}
