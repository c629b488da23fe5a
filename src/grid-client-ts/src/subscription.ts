import { fromBase64 } from './base64.js';
import { GridError, describe } from './errors.js';
import type { Gap, MessageFrame, Position, StartPoint } from './frames.js';
import { Queue } from './queue.js';

/** One message of a channel. */
export interface Message<Data = unknown> {
  readonly channel: string;
  readonly epoch: string;
  /** Rises by exactly 1 from message to message of an epoch, except after a gap. */
  readonly offset: number;
  /** When the server stored it, in milliseconds since the Unix epoch. */
  readonly at: number;
  /** The JSON value published; undefined when bytes were. */
  readonly data: Data;
  /** The bytes published; undefined when a JSON value was. */
  readonly bytes?: Uint8Array;
  readonly key?: string;
  readonly event?: string;
  /** The user who published it; absent for a publish by API key. */
  readonly from?: string;
}

/** How to subscribe. */
export interface SubscribeOptions<Data = unknown> {
  /** Where to start; default `now`. */
  readonly from?: StartPoint;
  /**
   * Called for each message, in order. When it returns a promise, the next message waits for it. The message is acknowledged
   * after it has finished. When it fails, see {@link onError}. Without it, iterate over the subscription.
   */
  readonly onMessage?: (message: Message<Data>) => unknown;
  /** Called when messages will never be delivered, at their place in the order; when it returns a promise, what follows waits. */
  readonly onGap?: (gap: Gap) => unknown;
  /**
   * Called when a handler failed (code `handler_failed`) or the server refused the subscription. Both end the subscription
   * with its cursor before the message that failed, unless, for a failed handler, this returns `'skip'`: then the message
   * counts as handled.
   */
  readonly onError?: (error: GridError) => 'skip' | unknown;
  /**
   * With a client that has `storage`: whether to go on after what an earlier page had handled, in place of `from`. Default
   * true, unless `from` is a position.
   */
  readonly resumeStored?: boolean;
}

/**
 * One channel, followed through every reconnect. Each message reaches the handler, or the loop over the subscription, once.
 * While a consumer lags, its messages wait here up to the client's bounds; past these the client stops receiving the channel
 * and reads on from its position when the consumer has caught up.
 */
export interface Subscription<Data = unknown> extends AsyncIterable<Message<Data>> {
  readonly channel: string;
  /** Resolves when the server first confirmed; rejects when it refused, or the subscription ended before. */
  readonly ready: Promise<void>;
  /** The offset of the last message finished with; undefined before {@link ready}. */
  readonly cursor: number | undefined;
  /** The epoch of {@link cursor}; undefined before {@link ready}. */
  readonly epoch: string | undefined;
  /** Whether it has ended: by {@link unsubscribe}, an error, or the client's end. */
  readonly ended: boolean;
  /**
   * Ends the subscription: messages not yet handled are dropped, a handler under way finishes. Resolves when the server has
   * confirmed; without a connection at once, and the server is told after the next one.
   */
  unsubscribe(): Promise<void>;
}

type Item =
  | { readonly position: Position; readonly size: number; readonly frame: MessageFrame; readonly gap?: undefined }
  | { readonly position: Position; readonly size: number; readonly gap: Gap };

/** What a subscription needs of the rest of the client. */
export interface SubscriptionOwner {
  /** The consumer has finished with everything up to the subscription's cursor. */
  handled(subscription: ChannelSubscription): void;
  /** The subscription ended from within. */
  ended(subscription: ChannelSubscription, error: GridError): void;
  /** The user ends it. */
  unsubscribe(subscription: ChannelSubscription): Promise<void>;
}

/**
 * The consumer's half of a subscription, without any I/O. Two positions tell it all: `received`, up to which messages are in
 * this client's memory, and `processed`, up to which the consumer has finished.
 */
export class ChannelSubscription implements Subscription<any> {
  readonly channel: string;
  readonly options: SubscribeOptions<any>;
  readonly ready: Promise<void>;
  received: Position | undefined;
  processed: Position | undefined;
  readonly #owner: SubscriptionOwner;
  readonly #queue = new Queue<Item>();
  #queuedBytes = 0;
  #resolveReady: () => void = () => undefined;
  #rejectReady: (error: GridError) => void = () => undefined;
  #ended = false;
  #error: GridError | undefined;
  #pumping = false;
  #iterating = false;
  #wake: (() => void) | undefined;

  constructor(channel: string, options: SubscribeOptions<any>, position: Position | undefined, owner: SubscriptionOwner) {
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

  get cursor(): number | undefined {
    return this.processed?.offset;
  }

  get epoch(): string | undefined {
    return this.processed?.epoch;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Messages waiting for the consumer. */
  get queued(): number {
    return this.#queue.length;
  }

  /** What they take, in characters of their frames. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  unsubscribe(): Promise<void> {
    return this.#owner.unsubscribe(this);
  }

  /**
   * The server's stream begins after `cursor` of `epoch`. Where that is not where this subscription stands, the difference
   * is a gap, made here and not awaited: the socket could be lost between this frame and the gap that announces it.
   */
  startStream(epoch: string, cursor: number): Gap | undefined {
    let gap: Gap | undefined;
    if (this.received === undefined) {
      this.received = { epoch, offset: cursor };
      this.processed = this.received;
    } else if (this.received.epoch !== epoch) {
      gap = this.acceptGap({ channel: this.channel, epoch, from: 1, to: cursor, reason: 'epoch' });
    } else if (cursor > this.received.offset) {
      gap = this.acceptGap({ channel: this.channel, epoch, from: this.received.offset + 1, to: cursor, reason: 'retention' });
    }
    this.#resolveReady();
    return gap;
  }

  /** Takes a message in; false when it had been seen. Throws when messages before it are missing. */
  acceptMessage(frame: MessageFrame, size: number): boolean {
    const received = this.received as Position;
    if (frame.offset <= received.offset) {
      return false;
    }
    this.#refuseHole(frame.offset);
    this.received = { epoch: received.epoch, offset: frame.offset };
    this.#enqueue({ position: this.received, size, frame });
    return true;
  }

  /** Takes a gap in; undefined when it tells nothing new. Throws when messages before it are missing. */
  acceptGap(gap: Gap): Gap | undefined {
    const received = this.received as Position;
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
  end(error: GridError | undefined, drop: boolean): void {
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

  #refuseHole(offset: number): void {
    const expected = (this.received as Position).offset + 1;
    if (offset !== expected) {
      throw new GridError('protocol', `${this.channel}: offset ${offset} came where ${expected} was due.`, { channel: this.channel });
    }
  }

  #enqueue(item: Item): void {
    if (this.#ended) {
      return;
    }
    this.#queue.push(item);
    this.#queuedBytes += item.size;
    this.#notify();
  }

  #notify(): void {
    if (this.options.onMessage !== undefined) {
      void this.#pump();
    }
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Hands items to the handler one after the other. A handler that returns no promise costs no turn of the event loop. */
  async #pump(): Promise<void> {
    if (this.#pumping) {
      return;
    }
    this.#pumping = true;
    let item: Item | undefined;
    while ((item = this.#queue.peek()) !== undefined) {
      try {
        const outcome = item.gap === undefined
          ? this.options.onMessage?.(this.#toMessage(item.frame, item.position))
          : this.options.onGap?.(item.gap);
        if (typeof (outcome as PromiseLike<unknown> | undefined)?.then === 'function') {
          await outcome;
        }
      } catch (thrown) {
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
  #mayGoOn(thrown: unknown): boolean {
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

  #report(error: GridError): unknown {
    try {
      return this.options.onError?.(error);
    } catch (thrown) {
      setTimeout(() => {
        throw thrown;
      });
      return undefined;
    }
  }

  #finish(item: Item): void {
    this.processed = item.position;
    // The queue was cleared if the subscription ended while the handler ran.
    if (this.#queue.peek() === item) {
      this.#queue.shift();
      this.#queuedBytes -= item.size;
    }
    this.#owner.handled(this);
  }

  #clear(): void {
    this.#queue.clear();
    this.#queuedBytes = 0;
  }

  #toMessage(frame: MessageFrame, position: Position): Message<any> {
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
  [Symbol.asyncIterator](): AsyncIterator<Message<any>, undefined> {
    if (this.options.onMessage !== undefined || this.#iterating) {
      throw new GridError('bad_argument', `${this.channel}: the subscription already has a consumer.`, { channel: this.channel });
    }
    this.#iterating = true;
    let current: Item | undefined;
    let over = false;
    const done = { done: true, value: undefined } as const;
    const stop = (): typeof done => {
      if (!over) {
        over = true;
        this.#iterating = false;
        this.#wake?.();
      }
      return done;
    };
    const next = async (): Promise<IteratorResult<Message<any>, undefined>> => {
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
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        } else if (item.gap === undefined) {
          current = item;
          return { done: false, value: this.#toMessage(item.frame, item.position) };
        } else {
          await this.options.onGap?.(item.gap);
          this.#finish(item);
        }
      }
      return done;
    };
    // Calls of `next` that do not wait for each other are answered in their order.
    let last: Promise<unknown> = Promise.resolve();
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
