import { Backoff } from './backoff.js';
import { toBase64 } from './base64.js';
import { Timer } from './clock.js';
import { exceeds, sizeOf } from './codec.js';
import { GridError } from './errors.js';
import { defaultMaxFrameBytes, errorOf, isChannelName } from './frames.js';
const retryMinMs = 100;
const retryMaxMs = 5_000;
/** Past this many bytes on the way, a publish that is worthless when late is not added to them. */
const congestedBytes = 1_048_576;
/**
 * Publishes in order per channel, each with a key, and sends what was not answered again on the next connection: with the same
 * key, so that it cannot be stored twice.
 */
export class Publisher {
    #options;
    /** All that is unanswered, in the order of the calls. */
    #entries = new Map();
    #lanes = new Map();
    #deadline;
    #keyPrefix;
    #idle = new Set();
    #keys = 0;
    #bytes = 0;
    #maxFrameBytes = defaultMaxFrameBytes;
    #connection;
    #closed;
    constructor(options) {
        this.#options = options;
        this.#deadline = new Timer(options.clock);
        // 128 random bits once and a number per publish: unique, and short on the wire.
        const random = crypto.getRandomValues(new Uint8Array(16));
        this.#keyPrefix = toBase64(random).replace(/[^A-Za-z0-9]/g, '');
    }
    publish(channel, data, options) {
        if (this.#closed !== undefined) {
            return Promise.reject(new GridError('closed', 'The client is closed.', { channel, cause: this.#closed }));
        }
        const id = this.#options.nextId();
        let frame;
        try {
            frame = this.#encode(id, channel, data, options);
        }
        catch (thrown) {
            return Promise.reject(thrown);
        }
        if (exceeds(frame, this.#maxFrameBytes)) {
            return Promise.reject(this.#tooLarge(channel));
        }
        if (options.noReply === true) {
            if (this.#connection !== undefined && this.#connection.bufferedAmount < congestedBytes) {
                this.#connection.send(frame);
            }
            return Promise.resolve(undefined);
        }
        const size = sizeOf(frame.data);
        if (this.#entries.size >= this.#options.maxQueued || this.#bytes + size > this.#options.maxQueuedBytes) {
            return Promise.reject(new GridError('queue_full', 'Too many publishes wait for an answer.', { channel }));
        }
        return new Promise((resolve, reject) => {
            const lane = this.#lane(channel);
            const deadline = this.#options.clock.now() + this.#options.timeoutMs;
            const entry = { id, lane, frame, size, deadline, resolve, reject, state: 'waiting', everSent: false };
            this.#entries.set(id, entry);
            lane.entries.add(entry);
            this.#bytes += size;
            this.#watchDeadline();
            this.#send(entry);
        });
    }
    /** Resolves when no publish waits for an answer. */
    whenIdle() {
        return this.#entries.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.add(resolve));
    }
    /** Takes up a new connection: all that is unanswered goes out, in the order of the calls. */
    attach(connection) {
        this.#connection = connection;
        this.#maxFrameBytes = connection.maxFrameBytes;
        for (const entry of [...this.#entries.values()]) {
            this.#send(entry);
        }
    }
    /** The connection is gone, and with it every answer that was on its way. */
    detach() {
        this.#connection = undefined;
        for (const lane of [...this.#lanes.values()]) {
            lane.retry.cancel();
            this.#rejectOvertaken(lane);
            lane.held = false;
            for (const entry of lane.entries) {
                entry.state = 'waiting';
            }
        }
    }
    /** Ends it: whatever is unanswered is rejected. */
    close(reason) {
        this.#closed = reason;
        this.#connection = undefined;
        this.#deadline.cancel();
        for (const entry of [...this.#entries.values()]) {
            entry.lane.retry.cancel();
            this.#reject(entry, new GridError('closed', `The client was closed before the publish was answered: ${reason.message}`, {
                channel: entry.lane.channel, outcomeUnknown: entry.everSent, cause: reason,
                ...(reason.closeCode === undefined ? {} : { closeCode: reason.closeCode }),
            }));
        }
    }
    #encode(id, channel, data, options) {
        if (!isChannelName(channel)) {
            throw new GridError('bad_argument', 'A channel name is 1 to 200 characters of A-Z a-z 0-9 _ . : ~ @ -');
        }
        const bytes = options.bytes ?? (data instanceof Uint8Array ? data : undefined);
        if (bytes !== undefined && data !== undefined && data !== bytes) {
            throw new GridError('bad_argument', 'A message is either data or bytes.', { channel });
        }
        const { event, ifOffset, noReply } = options;
        const key = options.key ?? (noReply === true ? undefined : `${this.#keyPrefix}-${(++this.#keys).toString(36)}`);
        let payload;
        try {
            payload = bytes ?? JSON.stringify(data);
        }
        catch (cause) {
            throw new GridError('bad_argument', 'The data cannot be written as JSON.', { channel, cause });
        }
        if (payload === undefined) {
            // Undefined, functions and symbols would leave the frame without data.
            throw new GridError('bad_argument', 'The data has no JSON form.', { channel });
        }
        return this.#options.codec.encode({ type: 'publish', id: noReply === true ? undefined : id, channel, key, event, ifOffset, payload });
    }
    #lane(channel) {
        let lane = this.#lanes.get(channel);
        if (lane === undefined) {
            lane = {
                channel,
                entries: new Set(),
                lastStored: -1,
                held: false,
                backoff: new Backoff(retryMinMs, retryMaxMs, this.#options.random),
                retry: new Timer(this.#options.clock),
            };
            this.#lanes.set(channel, lane);
        }
        return lane;
    }
    #send(entry) {
        const connection = this.#connection;
        if (connection === undefined || entry.state !== 'waiting' || entry.lane.held) {
            return;
        }
        if (exceeds(entry.frame, connection.maxFrameBytes)) {
            // Queued when the limit was not known yet. Sent, it would end the connection for good.
            this.#reject(entry, this.#tooLarge(entry.lane.channel));
            return;
        }
        entry.state = 'sent';
        entry.everSent = true;
        connection.sendForReply(entry.id, entry.frame, (frame) => this.#answered(entry, frame));
    }
    #answered(entry, frame) {
        const { lane } = entry;
        if (frame.type === 'published') {
            lane.lastStored = Math.max(lane.lastStored, entry.id);
            lane.backoff.reset();
            this.#settle(entry);
            entry.resolve({ epoch: frame.epoch, offset: frame.offset, duplicate: frame.duplicate });
        }
        else if (frame.type === 'error') {
            const error = errorOf(frame, lane.channel);
            const passes = frame.code === 'unavailable' || frame.code === 'rate_limited'
                || (frame.code === 'unauthorized' && this.#options.canRefresh);
            if (passes && lane.lastStored < entry.id) {
                entry.state = 'refused';
                entry.error = error;
                lane.held = true;
            }
            else {
                this.#reject(entry, error);
            }
        }
        else {
            throw new GridError('protocol', `The server answered "publish" with "${frame.type}".`);
        }
        this.#settleLane(lane);
    }
    /**
     * What was refused for a while is sent again when nothing of the lane is under way any more, the first of it alone: only when
     * that is stored does the rest follow. If a later one was stored meanwhile, sending the earlier one would turn the order
     * around: it is rejected instead.
     */
    #settleLane(lane) {
        if (!lane.held) {
            return;
        }
        let retryAfterMs = 0;
        let refused = false;
        for (const entry of [...lane.entries]) {
            if (entry.state === 'sent') {
                return;
            }
            if (entry.state === 'refused' && entry.id < lane.lastStored) {
                this.#reject(entry, entry.error);
            }
            else if (entry.state === 'refused') {
                refused = true;
                retryAfterMs = Math.max(retryAfterMs, entry.error?.retryAfterMs ?? 0);
            }
        }
        if (!refused) {
            lane.held = false;
            lane.retry.cancel();
            for (const entry of [...lane.entries]) {
                this.#send(entry);
            }
        }
        else if (!lane.retry.armed) {
            lane.retry.arm(Math.max(retryAfterMs, lane.backoff.next()), () => this.#probe(lane));
        }
    }
    #probe(lane) {
        for (const entry of lane.entries) {
            entry.state = 'waiting';
        }
        const first = lane.entries.values().next().value;
        if (first !== undefined) {
            lane.held = false;
            this.#send(first);
            lane.held = true;
        }
    }
    /** At a loss of the connection: a refused publish with a later one whose fate is unknown cannot be sent in order any more. */
    #rejectOvertaken(lane) {
        let laterUnderWay = false;
        for (const entry of [...lane.entries].reverse()) {
            if (entry.state === 'sent') {
                laterUnderWay = true;
            }
            else if (entry.state === 'refused' && laterUnderWay) {
                this.#reject(entry, entry.error);
            }
        }
    }
    /** All have the same time to live, so the oldest is always the next to run out. */
    #watchDeadline() {
        const oldest = this.#entries.values().next().value;
        if (oldest === undefined || this.#deadline.armed) {
            return;
        }
        this.#deadline.arm(oldest.deadline - this.#options.clock.now(), () => {
            const now = this.#options.clock.now();
            for (const entry of [...this.#entries.values()]) {
                if (entry.deadline > now) {
                    break;
                }
                this.#expire(entry);
            }
            this.#watchDeadline();
        });
    }
    #expire(entry) {
        const { lane } = entry;
        this.#connection?.forget(entry.id);
        this.#reject(entry, new GridError('timeout', entry.everSent
            ? `No answer in ${this.#options.timeoutMs} ms: the message may have been stored.`
            : `Not sent within ${this.#options.timeoutMs} ms: there was no connection.`, {
            channel: lane.channel, outcomeUnknown: entry.everSent,
            ...(entry.error === undefined ? {} : { cause: entry.error }),
        }));
        // With it gone, what it held back may go.
        this.#settleLane(lane);
    }
    #reject(entry, error) {
        this.#settle(entry);
        entry.reject(error);
    }
    #settle(entry) {
        const { lane } = entry;
        this.#entries.delete(entry.id);
        this.#bytes -= entry.size;
        lane.entries.delete(entry);
        if (lane.entries.size === 0) {
            lane.retry.cancel();
            this.#lanes.delete(lane.channel);
        }
        if (this.#entries.size === 0) {
            this.#deadline.cancel();
            for (const resolve of this.#idle) {
                resolve();
            }
            this.#idle.clear();
        }
    }
    #tooLarge(channel) {
        return new GridError('too_large', `The frame is larger than the ${this.#maxFrameBytes} bytes that the server reads.`, { channel });
    }
}
