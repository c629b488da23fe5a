import { Timer } from './clock.js';
import { sizeOf } from './codec.js';
import { GridError, describe } from './errors.js';
import { defaultMaxFrameBytes, } from './frames.js';
const closeHandshakeMs = 2_000;
/**
 * One socket, from opening to its end: hello and welcome, requests and their answers, heartbeat. It knows nothing of
 * reconnecting, channels or cursors.
 */
export class Connection {
    #options;
    #events;
    #socket;
    #replies = new Map();
    #requestTimers = new Set();
    #deadline;
    #heartbeat;
    #welcome;
    #lastHeard = 0;
    #pinged = false;
    #ended = false;
    /** Opens the socket. Throws what the factory throws. */
    constructor(options, events) {
        this.#options = options;
        this.#events = events;
        this.#deadline = new Timer(options.clock);
        this.#heartbeat = new Timer(options.clock);
        this.#socket = options.webSocket(options.url, [options.codec.subprotocol]);
        this.#socket.binaryType = 'arraybuffer';
        this.#socket.onopen = () => this.#guard(() => this.sendFrame(this.#events.hello()));
        this.#socket.onmessage = (event) => this.#guard(() => this.#receive(event.data));
        this.#socket.onclose = (event) => this.#end({ code: event.code, reason: event.reason });
        // The close event that follows carries what there is to know; an unheard error event would crash some Node sockets.
        this.#socket.onerror = () => undefined;
        this.#deadline.arm(options.connectTimeoutMs, () => this.fail(new GridError('connection', 'The server sent no welcome in time.')));
    }
    /** Whether frames can be sent and will be answered. */
    get live() {
        return this.#welcome !== undefined && !this.#ended;
    }
    /** The largest frame that the server reads, in bytes. */
    get maxFrameBytes() {
        return this.#welcome?.maxFrameBytes ?? defaultMaxFrameBytes;
    }
    /** Bytes handed to the socket and not yet sent. */
    get bufferedAmount() {
        return this.#socket.bufferedAmount;
    }
    /** Sends a frame; does nothing once the connection has ended. */
    sendFrame(frame) {
        this.send(this.#options.codec.encode(frame));
    }
    /** The same for a frame that has its form already. */
    send(frame) {
        if (this.#ended) {
            return;
        }
        this.#events.raw('out', sizeOf(frame.data), () => frame.text());
        try {
            this.#socket.send(frame.data);
        }
        catch (cause) {
            this.fail(new GridError('connection', `The socket refused a frame: ${describe(cause)}`, { cause }));
        }
    }
    /** Sends a frame whose answer, by its `id`, goes to `reply`. If the connection ends first, `reply` is not called. */
    sendForReply(id, frame, reply) {
        this.#replies.set(id, reply);
        this.send(frame);
    }
    /**
     * Sends a request that must be answered: a server that stays silent on it for the request timeout is taken for broken, and
     * the connection ends.
     */
    request(fields, reply) {
        const id = this.#options.nextId();
        const { type } = fields;
        const timer = new Timer(this.#options.clock);
        timer.arm(this.#options.requestTimeoutMs, () => this.fail(new GridError('protocol', `The server did not answer "${type}".`)));
        this.#requestTimers.add(timer);
        this.sendForReply(id, this.#options.codec.encode({ ...fields, id }), (frame) => {
            timer.cancel();
            this.#requestTimers.delete(timer);
            reply(frame);
        });
        return id;
    }
    /** No longer waits for the answer to a request. */
    forget(id) {
        this.#replies.delete(id);
    }
    /** Ends the connection at once for a fault found here, and says so to the owner. */
    fail(error) {
        this.#end({ code: 1006, reason: error.message, error }, true);
    }
    /** Ends the connection without telling the owner, who has moved on. */
    abandon() {
        if (!this.#ended) {
            this.#stop();
            this.#hangUp('replaced');
        }
    }
    /** Closes with the handshake, so that frames sent before arrive; resolves when the socket is closed, or after 2 s. */
    close() {
        if (this.#ended) {
            return Promise.resolve();
        }
        this.#stop();
        return new Promise((resolve) => {
            const giveUp = new Timer(this.#options.clock);
            giveUp.arm(closeHandshakeMs, () => {
                this.#socket.terminate?.();
                resolve();
            });
            this.#socket.onclose = () => {
                giveUp.cancel();
                resolve();
            };
            this.#socket.close(1000, 'closed');
        });
    }
    #receive(data) {
        if (this.#ended) {
            return;
        }
        const { codec } = this.#options;
        this.#events.raw('in', sizeOf(data), () => codec.textOf(data));
        this.#lastHeard = this.#options.clock.now();
        this.#pinged = false;
        const frame = codec.decode(data);
        if (frame !== undefined) {
            this.#dispatch(frame);
        }
    }
    #dispatch(frame) {
        if (frame.type === 'welcome') {
            if (this.#welcome !== undefined) {
                throw new GridError('protocol', 'The server sent a second welcome.');
            }
            this.#welcome = frame;
            this.#deadline.cancel();
            this.#armHeartbeat(frame.heartbeatMs);
            this.#events.welcome(this, frame);
            return;
        }
        if (this.#welcome === undefined && frame.type !== 'error') {
            throw new GridError('protocol', `The server sent "${frame.type}" before its welcome.`);
        }
        switch (frame.type) {
            case 'message':
            case 'gap':
            case 'goaway':
                this.#events.push(this, frame);
                break;
            case 'pong':
                break;
            default: {
                const reply = frame.id === undefined ? undefined : this.#replies.get(frame.id);
                if (reply !== undefined) {
                    this.#replies.delete(frame.id);
                    reply(frame);
                }
                else if (frame.type === 'error') {
                    this.#events.push(this, frame);
                }
            }
        }
    }
    /**
     * After a heartbeat of silence the server is asked for a sign of life; after another without one, the connection is dead.
     * Comparing times, instead of arming a timer per frame, keeps the cost of a frame at one assignment.
     */
    #armHeartbeat(heartbeatMs) {
        if (heartbeatMs <= 0) {
            return;
        }
        const check = () => {
            const silentMs = this.#options.clock.now() - this.#lastHeard;
            if (silentMs < heartbeatMs) {
                this.#heartbeat.arm(heartbeatMs - silentMs, check);
            }
            else if (this.#pinged) {
                this.fail(new GridError('connection', `Nothing was heard from the server for ${silentMs} ms.`));
            }
            else {
                this.#pinged = true;
                this.#heartbeat.arm(heartbeatMs, check);
                this.sendFrame({ type: 'ping' });
            }
        };
        this.#heartbeat.arm(heartbeatMs, check);
    }
    #guard(action) {
        try {
            action();
        }
        catch (thrown) {
            this.fail(thrown instanceof GridError ? thrown : new GridError('protocol', describe(thrown), { cause: thrown }));
        }
    }
    #end(how, hangUp = false) {
        if (this.#ended) {
            return;
        }
        this.#stop();
        if (hangUp) {
            this.#hangUp(how.reason);
        }
        this.#events.closed(this, how);
    }
    #stop() {
        this.#ended = true;
        this.#deadline.cancel();
        this.#heartbeat.cancel();
        for (const timer of this.#requestTimers) {
            timer.cancel();
        }
        this.#requestTimers.clear();
        this.#replies.clear();
    }
    /** Leaves the socket: politely where that costs no wait, and for good where the implementation can. */
    #hangUp(reason) {
        try {
            // Close reasons are limited to 123 bytes.
            this.#socket.close(1000, reason.replace(/[^ -~]/g, '?').slice(0, 120));
        }
        catch {
            // A socket that cannot even be closed is gone already.
        }
        this.#socket.terminate?.();
    }
}
