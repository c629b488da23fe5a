import { Backoff } from './backoff.js';
import { Timer } from './clock.js';
import { GridError } from './errors.js';
import { errorOf, isChannelName, isPosition, utf8Length, } from './frames.js';
import { ChannelSubscription } from './subscription.js';
/** Room for a frame's own words when a list is cut to the frame limit. */
const frameOverhead = 1_024;
const retryMinMs = 200;
const retryMaxMs = 20_000;
/**
 * The server's half of the subscriptions: what is asked for, confirmed, paused and acknowledged on the connection of now, and
 * what is asked for again on the next one.
 */
export class Subscriptions {
    #options;
    #entries = new Map();
    /** Handled and not yet acknowledged. */
    #dirty = new Set();
    #dirtyCount = 0;
    /** Those who wait for an `unsubscribed`, which a lost connection will not bring. */
    #leaving = new Set();
    #ackTimer;
    #connection;
    constructor(options) {
        this.#options = options;
        this.#ackTimer = new Timer(options.clock);
    }
    add(channel, options) {
        if (!isChannelName(channel)) {
            throw new GridError('bad_argument', 'A channel name is 1 to 200 characters of A-Z a-z 0-9 _ . : ~ @ -');
        }
        if (this.#entries.has(channel)) {
            throw new GridError('already_subscribed', `${channel}: this client has a subscription already.`, { channel });
        }
        const from = options.from ?? 'now';
        const stored = options.resumeStored ?? !isPosition(from) ? this.#options.store.cursor(channel) : undefined;
        const subscription = new ChannelSubscription(channel, options, stored ?? (isPosition(from) ? from : undefined), this);
        const entry = {
            subscription,
            wire: 'off',
            paused: false,
            reached: 0,
            backoff: new Backoff(retryMinMs, retryMaxMs, this.#options.random),
            retry: new Timer(this.#options.clock),
        };
        this.#entries.set(channel, entry);
        this.#ask(entry);
        return subscription;
    }
    /** The cursors for a `resume`, as many as fit the frame. For those left out the server's own, which are never later, serve. */
    cursors(maxFrameBytes) {
        const cursors = {};
        let left = maxFrameBytes - frameOverhead;
        for (const { subscription, paused } of this.#entries.values()) {
            if (subscription.received !== undefined && !paused) {
                // Quotes, braces, field names, commas and an offset of 16 digits.
                left -= utf8Length(subscription.channel) + utf8Length(JSON.stringify(subscription.received.epoch)) + 48;
                if (left < 0) {
                    break;
                }
                cursors[subscription.channel] = subscription.received;
            }
        }
        return cursors;
    }
    /** Takes up a new connection: follows what goes on by itself, asks for the rest, ends what is no longer wanted. */
    attach(connection, welcome) {
        this.#connection = connection;
        for (const state of welcome.subscriptions) {
            const entry = this.#entries.get(state.channel);
            if (entry !== undefined && !entry.paused && entry.subscription.received !== undefined) {
                this.#live(entry, state.epoch, state.cursor);
            }
            else {
                // Ended or paused while the server could not be told, or an earlier subscription of a name that is asked for anew.
                this.#sendUnsubscribe(state.channel);
            }
        }
        for (const entry of this.#entries.values()) {
            this.#ask(entry);
        }
        this.flush();
    }
    /** The connection is gone. */
    detach() {
        this.#connection = undefined;
        for (const entry of this.#entries.values()) {
            entry.wire = 'off';
            entry.retry.cancel();
        }
        for (const left of [...this.#leaving]) {
            left();
        }
    }
    message(frame, size) {
        const entry = this.#entries.get(frame.channel);
        // What is not live is of an older subscription, and on its way since before the server knew.
        if (entry?.wire !== 'live') {
            return;
        }
        entry.reached = frame.offset;
        if (!entry.subscription.acceptMessage(frame, size)) {
            return;
        }
        const { queued, queuedBytes } = entry.subscription;
        if (entry.wire === 'live' && (queued > this.#options.maxBufferedMessages || queuedBytes > this.#options.maxBufferedBytes)) {
            entry.paused = true;
            entry.wire = 'off';
            this.#sendUnsubscribe(frame.channel);
        }
    }
    gap(frame) {
        const entry = this.#entries.get(frame.channel);
        if (entry?.wire === 'live') {
            entry.reached = frame.to;
            this.#announce(entry.subscription.acceptGap(frame));
        }
    }
    handled(subscription) {
        const entry = this.#entries.get(subscription.channel);
        if (entry?.subscription !== subscription) {
            return;
        }
        if (entry.paused && subscription.queued * 2 <= this.#options.maxBufferedMessages
            && subscription.queuedBytes * 2 <= this.#options.maxBufferedBytes) {
            entry.paused = false;
            this.#ask(entry);
        }
        this.#options.store.setCursor(subscription.channel, subscription.processed);
        this.#dirty.add(entry);
        if (++this.#dirtyCount >= this.#options.ackBatch) {
            this.flush();
        }
        else {
            this.#flushSoon();
        }
    }
    #flushSoon() {
        if (!this.#ackTimer.armed) {
            this.#ackTimer.arm(this.#options.ackIntervalMs, () => this.flush());
        }
    }
    /** Acknowledges what was handled, and stores the cursors. */
    flush() {
        this.#ackTimer.cancel();
        this.#dirtyCount = 0;
        this.#options.store.save();
        const connection = this.#connection;
        if (connection === undefined) {
            return;
        }
        let cursors = {};
        let size = 0;
        const send = () => {
            if (size > 0) {
                connection.sendFrame({ type: 'ack', cursors });
            }
            cursors = {};
            size = 0;
        };
        for (const entry of this.#dirty) {
            const { processed, received, channel } = entry.subscription;
            // An acknowledgement names no epoch, so one of an epoch that is over must not be sent.
            if (entry.wire === 'live' && processed !== undefined && processed.epoch === received?.epoch) {
                if (processed.offset <= entry.reached) {
                    this.#dirty.delete(entry);
                }
                else {
                    this.#flushSoon();
                }
                cursors[channel] = Math.min(processed.offset, entry.reached);
                size += utf8Length(channel) + 24;
                if (size > connection.maxFrameBytes - frameOverhead) {
                    send();
                }
            }
        }
        send();
    }
    ended(subscription, error) {
        this.#options.onError(error);
        void this.unsubscribe(subscription, true);
    }
    unsubscribe(subscription, keepCursor = false) {
        const entry = this.#entries.get(subscription.channel);
        if (entry?.subscription !== subscription) {
            return Promise.resolve();
        }
        this.flush();
        this.#remove(entry);
        subscription.end(undefined, true);
        if (!keepCursor) {
            this.#options.store.setCursor(subscription.channel, undefined);
        }
        return entry.wire === 'off' ? Promise.resolve() : this.#sendUnsubscribe(subscription.channel);
    }
    /** Ends all, for good. With an error, what waits in memory is still delivered first. */
    endAll(error) {
        this.flush();
        this.#ackTimer.cancel();
        for (const entry of this.#entries.values()) {
            entry.retry.cancel();
            entry.wire = 'off';
            entry.subscription.end(error, error === undefined);
        }
    }
    #ask(entry) {
        const connection = this.#connection;
        const { subscription } = entry;
        if (connection === undefined || entry.wire !== 'off' || entry.paused || subscription.ended || entry.retry.armed) {
            return;
        }
        entry.wire = 'asked';
        // A position, once there is one, makes the next stream begin where the last one broke off.
        const from = subscription.received ?? subscription.options.from ?? 'now';
        connection.request({ type: 'subscribe', channel: subscription.channel, from }, (frame) => {
            // Ended while the question was under way: the answer is nobody's.
            if (this.#entries.get(subscription.channel) === entry) {
                this.#answered(entry, frame);
            }
        });
    }
    #answered(entry, frame) {
        const { subscription } = entry;
        if (frame.type === 'subscribed') {
            this.#live(entry, frame.epoch, frame.cursor);
            return;
        }
        entry.wire = 'off';
        if (frame.type !== 'error') {
            throw new GridError('protocol', `The server answered "subscribe" with "${frame.type}".`);
        }
        const error = errorOf(frame, subscription.channel);
        const passes = ['unavailable', 'internal', 'rate_limited'].includes(frame.code)
            || (frame.code === 'unauthorized' && this.#options.canRefresh);
        if (passes) {
            this.#options.onError(error);
            entry.retry.arm(Math.max(error.retryAfterMs ?? 0, entry.backoff.next()), () => this.#ask(entry));
        }
        else {
            this.#remove(entry);
            subscription.end(error, false);
            this.#options.onError(error);
        }
    }
    #live(entry, epoch, cursor) {
        entry.wire = 'live';
        entry.reached = cursor;
        entry.backoff.reset();
        this.#announce(entry.subscription.startStream(epoch, cursor));
        // Stored from the first moment on, so that a page load before the first message misses nothing.
        this.#options.store.setCursor(entry.subscription.channel, entry.subscription.processed);
        this.#flushSoon();
    }
    #announce(gap) {
        if (gap !== undefined) {
            const { channel, epoch, from, to, reason } = gap;
            this.#options.onGap({ channel, epoch, from, to, reason });
        }
    }
    #remove(entry) {
        entry.retry.cancel();
        this.#dirty.delete(entry);
        this.#entries.delete(entry.subscription.channel);
    }
    /** Tells the server to stop sending a channel; again, while it cannot, unless the channel is wanted once more. */
    #sendUnsubscribe(channel) {
        const connection = this.#connection;
        if (connection === undefined) {
            return Promise.resolve();
        }
        return new Promise((resolve) => {
            const left = () => {
                this.#leaving.delete(left);
                resolve();
            };
            this.#leaving.add(left);
            connection.request({ type: 'unsubscribe', channel }, (frame) => {
                if (frame.type !== 'error' || frame.code === 'not_subscribed') {
                    left();
                    return;
                }
                new Timer(this.#options.clock).arm(Math.max(frame.retryAfterMs ?? 0, retryMinMs), () => {
                    const current = this.#entries.get(channel);
                    if (connection === this.#connection && (current === undefined || current.paused)) {
                        void this.#sendUnsubscribe(channel).then(left);
                    }
                    else {
                        left();
                    }
                });
            });
        });
    }
}
