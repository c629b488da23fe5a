import { fromBase64 } from './base64.js';
import { GridError, describe } from './errors.js';
import { Queue } from './queue.js';
/**
 * The consumer's half of a subscription, without any I/O. Two positions tell it all: `received`, up to which messages are in
 * this client's memory, and `processed`, up to which the consumer has finished.
 */
export class ChannelSubscription {
    channel;
    options;
    ready;
    received;
    processed;
    #owner;
    #queue = new Queue();
    #queuedBytes = 0;
    #resolveReady = () => undefined;
    #rejectReady = () => undefined;
    #ended = false;
    #error;
    #pumping = false;
    #iterating = false;
    #wake;
    constructor(channel, options, position, owner) {
        this.channel = channel;
        this.options = options;
        this.received = position;
        this.processed = position;
        this.#owner = owner;
        this.ready = new Promise((resolve, reject) => {
            this.#resolveReady = resolve;
            this.#rejectReady = reject;
        });
        // Who does not await it must not get an unhandled rejection.
        this.ready.catch(() => undefined);
    }
    get cursor() {
        return this.processed?.offset;
    }
    get epoch() {
        return this.processed?.epoch;
    }
    get ended() {
        return this.#ended;
    }
    /** Messages waiting for the consumer. */
    get queued() {
        return this.#queue.length;
    }
    /** What they take, in characters of their frames. */
    get queuedBytes() {
        return this.#queuedBytes;
    }
    unsubscribe() {
        return this.#owner.unsubscribe(this);
    }
    /**
     * The server's stream begins after `cursor` of `epoch`. Where that is not where this subscription stands, the difference
     * is a gap, made here and not awaited: the socket could be lost between this frame and the gap that announces it.
     */
    startStream(epoch, cursor) {
        let gap;
        if (this.received === undefined) {
            this.received = { epoch, offset: cursor };
            this.processed = this.received;
        }
        else if (this.received.epoch !== epoch) {
            gap = this.acceptGap({ channel: this.channel, epoch, from: 1, to: cursor, reason: 'epoch' });
        }
        else if (cursor > this.received.offset) {
            gap = this.acceptGap({ channel: this.channel, epoch, from: this.received.offset + 1, to: cursor, reason: 'retention' });
        }
        this.#resolveReady();
        return gap;
    }
    /** Takes a message in; false when it had been seen. Throws when messages before it are missing. */
    acceptMessage(frame, size) {
        const received = this.received;
        if (frame.offset <= received.offset) {
            return false;
        }
        this.#refuseHole(frame.offset);
        this.received = { epoch: received.epoch, offset: frame.offset };
        this.#enqueue({ position: this.received, size, frame });
        return true;
    }
    /** Takes a gap in; undefined when it tells nothing new. Throws when messages before it are missing. */
    acceptGap(gap) {
        const received = this.received;
        let news = gap;
        if (gap.epoch === received.epoch) {
            if (gap.to <= received.offset) {
                return undefined;
            }
            if (gap.from > received.offset) {
                this.#refuseHole(gap.from);
            }
            news = { ...gap, from: received.offset + 1 };
        }
        this.received = { epoch: gap.epoch, offset: gap.to };
        const { channel, epoch, from, to, reason } = news;
        this.#enqueue({ position: this.received, size: 0, gap: { channel, epoch, from, to, reason } });
        return news;
    }
    /** Ends it. With `drop`, what the consumer has not handled is forgotten; else it is still delivered first. */
    end(error, drop) {
        if (this.#ended) {
            return;
        }
        this.#ended = true;
        this.#error = error;
        this.#rejectReady(error ?? new GridError('closed', 'The subscription was ended.', { channel: this.channel }));
        if (drop) {
            this.#clear();
        }
        this.#notify();
        // With a handler, the pump reports it after the last message.
        if (error !== undefined && this.options.onMessage === undefined) {
            this.#report(error);
        }
    }
    #refuseHole(offset) {
        const expected = this.received.offset + 1;
        if (offset !== expected) {
            throw new GridError('protocol', `${this.channel}: offset ${offset} came where ${expected} was due.`, { channel: this.channel });
        }
    }
    #enqueue(item) {
        if (this.#ended) {
            return;
        }
        this.#queue.push(item);
        this.#queuedBytes += item.size;
        this.#notify();
    }
    #notify() {
        if (this.options.onMessage !== undefined) {
            void this.#pump();
        }
        this.#wake?.();
        this.#wake = undefined;
    }
    /** Hands items to the handler one after the other. A handler that returns no promise costs no turn of the event loop. */
    async #pump() {
        if (this.#pumping) {
            return;
        }
        this.#pumping = true;
        let item;
        while ((item = this.#queue.peek()) !== undefined) {
            try {
                const outcome = item.gap === undefined
                    ? this.options.onMessage?.(this.#toMessage(item.frame, item.position))
                    : this.options.onGap?.(item.gap);
                if (typeof outcome?.then === 'function') {
                    await outcome;
                }
            }
            catch (thrown) {
                if (!this.#mayGoOn(thrown)) {
                    break;
                }
            }
            this.#finish(item);
        }
        this.#pumping = false;
        if (this.#error !== undefined && this.#error.code !== 'handler_failed' && this.#queue.length === 0) {
            this.#report(this.#error);
        }
    }
    /** Whether a failed handler's item counts as handled. If not, the subscription ends here. */
    #mayGoOn(thrown) {
        const error = new GridError('handler_failed', `${this.channel}: a handler failed: ${describe(thrown)}`, {
            channel: this.channel, cause: thrown,
        });
        if (this.#report(error) === 'skip') {
            return true;
        }
        this.#clear();
        this.#error = error;
        this.#ended = true;
        this.#owner.ended(this, error);
        return false;
    }
    #report(error) {
        try {
            return this.options.onError?.(error);
        }
        catch (thrown) {
            setTimeout(() => {
                throw thrown;
            });
            return undefined;
        }
    }
    #finish(item) {
        this.processed = item.position;
        // The queue was cleared if the subscription ended while the handler ran.
        if (this.#queue.peek() === item) {
            this.#queue.shift();
            this.#queuedBytes -= item.size;
        }
        this.#owner.handled(this);
    }
    #clear() {
        this.#queue.clear();
        this.#queuedBytes = 0;
    }
    #toMessage(frame, position) {
        const { channel, offset, at, data, data64, bytes, key, event, from } = frame;
        return {
            channel, epoch: position.epoch, offset, at, data,
            ...(bytes !== undefined ? { bytes } : data64 === undefined ? {} : { bytes: fromBase64(data64) }),
            ...(key === undefined ? {} : { key }),
            ...(event === undefined ? {} : { event }),
            ...(from === undefined ? {} : { from }),
        };
    }
    /**
     * Iterates over the messages. A message is finished with when the next is asked for: one whose loop was left by `break`, `return` or
     * an exception comes again to the next loop. Leaving a loop does not unsubscribe. One loop at a time.
     */
    [Symbol.asyncIterator]() {
        if (this.options.onMessage !== undefined || this.#iterating) {
            throw new GridError('bad_argument', `${this.channel}: the subscription already has a consumer.`, { channel: this.channel });
        }
        this.#iterating = true;
        let current;
        let over = false;
        const done = { done: true, value: undefined };
        const stop = () => {
            if (!over) {
                over = true;
                this.#iterating = false;
                this.#wake?.();
            }
            return done;
        };
        const next = async () => {
            if (current !== undefined) {
                const finished = current;
                current = undefined;
                this.#finish(finished);
            }
            while (!over) {
                const item = this.#queue.peek();
                if (item === undefined) {
                    if (this.#ended) {
                        stop();
                        if (this.#error !== undefined) {
                            throw this.#error;
                        }
                        break;
                    }
                    await new Promise((resolve) => {
                        this.#wake = resolve;
                    });
                }
                else if (item.gap === undefined) {
                    current = item;
                    return { done: false, value: this.#toMessage(item.frame, item.position) };
                }
                else {
                    await this.options.onGap?.(item.gap);
                    this.#finish(item);
                }
            }
            return done;
        };
        // Calls of `next` that do not wait for each other are answered in their order.
        let last = Promise.resolve();
        return {
            next: () => {
                const result = last.then(next);
                last = result.catch(() => undefined);
                return result;
            },
            return: () => Promise.resolve(stop()),
        };
    }
}
