import { Backoff } from './backoff.js';
import { type Clock, Timer } from './clock.js';
import type { Connection } from './connection.js';
import { GridError } from './errors.js';
import {
  errorOf, isChannelName, isPosition, utf8Length,
  type Gap, type GapFrame, type MessageFrame, type Position, type ReplyFrame, type WelcomeFrame,
} from './frames.js';
import type { SessionStore } from './store.js';
import { ChannelSubscription, type SubscribeOptions, type SubscriptionOwner } from './subscription.js';

/** Bounds and collaborators of {@link Subscriptions}. */
export interface SubscriptionsOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly store: SessionStore;
  /** Messages that wait for one subscription's consumer. */
  readonly maxBufferedMessages: number;
  /** The same in bytes. */
  readonly maxBufferedBytes: number;
  /** How long an acknowledgement may wait for others to join it, in milliseconds. */
  readonly ackIntervalMs: number;
  /** How many messages are acknowledged at once at the latest. */
  readonly ackBatch: number;
  /** Whether the connection's token can be replaced, so that `unauthorized` passes. */
  readonly canRefresh: boolean;
  readonly onGap: (gap: Gap) => void;
  readonly onError: (error: GridError) => void;
}

/** Where a subscription stands on the connection of now. */
interface Entry {
  readonly subscription: ChannelSubscription;
  /** `off`: the server does not send; `asked`: it has yet to confirm; `live`: its frames count. */
  wire: 'off' | 'asked' | 'live';
  /** The consumer lags: not received until it has caught up. */
  paused: boolean;
  readonly backoff: Backoff;
  readonly retry: Timer;
  /**
   * How far the stream of the connection of now has come. After a change of connections it may have to repeat what the last one
   * brought while the new one said hello; the server does not know yet that this was delivered.
   */
  reached: number;
}

/** Room for a frame's own words when a list is cut to the frame limit. */
const frameOverhead = 1_024;
const retryMinMs = 200;
const retryMaxMs = 20_000;

/**
 * The server's half of the subscriptions: what is asked for, confirmed, paused and acknowledged on the connection of now, and
 * what is asked for again on the next one.
 */
export class Subscriptions implements SubscriptionOwner {
  readonly #options: SubscriptionsOptions;
  readonly #entries = new Map<string, Entry>();
  /** Handled and not yet acknowledged. */
  readonly #dirty = new Set<Entry>();
  #dirtyCount = 0;
  /** Those who wait for an `unsubscribed`, which a lost connection will not bring. */
  readonly #leaving = new Set<() => void>();
  readonly #ackTimer: Timer;
  #connection: Connection | undefined;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
    this.#ackTimer = new Timer(options.clock);
  }

  add(channel: string, options: SubscribeOptions<any>): ChannelSubscription {
    if (!isChannelName(channel)) {
      throw new GridError('bad_argument', 'A channel name is 1 to 200 characters of A-Z a-z 0-9 _ . : ~ @ -');
    }
    if (this.#entries.has(channel)) {
      throw new GridError('already_subscribed', `${channel}: this client has a subscription already.`, { channel });
    }
    const from = options.from ?? 'now';
    const stored = options.resumeStored ?? !isPosition(from) ? this.#options.store.cursor(channel) : undefined;
    const subscription = new ChannelSubscription(channel, options, stored ?? (isPosition(from) ? from : undefined), this);
    const entry: Entry = {
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
  cursors(maxFrameBytes: number): Record<string, Position> {
    const cursors: Record<string, Position> = {};
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
  attach(connection: Connection, welcome: WelcomeFrame): void {
    this.#connection = connection;
    for (const state of welcome.subscriptions) {
      const entry = this.#entries.get(state.channel);
      if (entry !== undefined && !entry.paused && entry.subscription.received !== undefined) {
        this.#live(entry, state.epoch, state.cursor);
      } else {
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
  detach(): void {
    this.#connection = undefined;
    for (const entry of this.#entries.values()) {
      entry.wire = 'off';
      entry.retry.cancel();
    }
    for (const left of [...this.#leaving]) {
      left();
    }
  }

  message(frame: MessageFrame, size: number): void {
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

  gap(frame: GapFrame): void {
    const entry = this.#entries.get(frame.channel);
    if (entry?.wire === 'live') {
      entry.reached = frame.to;
      this.#announce(entry.subscription.acceptGap(frame));
    }
  }

  handled(subscription: ChannelSubscription): void {
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
    } else {
      this.#flushSoon();
    }
  }

  #flushSoon(): void {
    if (!this.#ackTimer.armed) {
      this.#ackTimer.arm(this.#options.ackIntervalMs, () => this.flush());
    }
  }

  /** Acknowledges what was handled, and stores the cursors. */
  flush(): void {
    this.#ackTimer.cancel();
    this.#dirtyCount = 0;
    this.#options.store.save();
    const connection = this.#connection;
    if (connection === undefined) {
      return;
    }
    let cursors: Record<string, number> = {};
    let size = 0;
    const send = (): void => {
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
        } else {
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

  ended(subscription: ChannelSubscription, error: GridError): void {
    this.#options.onError(error);
    void this.unsubscribe(subscription, true);
  }

  unsubscribe(subscription: ChannelSubscription, keepCursor = false): Promise<void> {
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
  endAll(error: GridError | undefined): void {
    this.flush();
    this.#ackTimer.cancel();
    for (const entry of this.#entries.values()) {
      entry.retry.cancel();
      entry.wire = 'off';
      entry.subscription.end(error, error === undefined);
    }
  }

  #ask(entry: Entry): void {
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

  #answered(entry: Entry, frame: ReplyFrame): void {
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
    } else {
      this.#remove(entry);
      subscription.end(error, false);
      this.#options.onError(error);
    }
  }

  #live(entry: Entry, epoch: string, cursor: number): void {
    entry.wire = 'live';
    entry.reached = cursor;
    entry.backoff.reset();
    this.#announce(entry.subscription.startStream(epoch, cursor));
    // Stored from the first moment on, so that a page load before the first message misses nothing.
    this.#options.store.setCursor(entry.subscription.channel, entry.subscription.processed);
    this.#flushSoon();
  }

  #announce(gap: Gap | undefined): void {
    if (gap !== undefined) {
      const { channel, epoch, from, to, reason } = gap;
      this.#options.onGap({ channel, epoch, from, to, reason });
    }
  }

  #remove(entry: Entry): void {
    entry.retry.cancel();
    this.#dirty.delete(entry);
    this.#entries.delete(entry.subscription.channel);
  }

  /** Tells the server to stop sending a channel; again, while it cannot, unless the channel is wanted once more. */
  #sendUnsubscribe(channel: string): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const left = (): void => {
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
          } else {
            left();
          }
        });
      });
    });
  }
}
