/**
 * Keeps the books of what this page was handed, apart from the client that handed it over: in each channel every message must
 * have the offset after the last one. What breaks that rule is counted, and shown.
 */
export class Ledger extends EventTarget {
  /** @type {Map<string, {channel: string, durable: boolean, epoch?: string, cursor?: number, messages: number, gaps: number, repeats: number}>} */
  #channels = new Map();

  add(channel, durable) {
    this.#channels.set(channel, { channel, durable, messages: 0, gaps: 0, repeats: 0 });
  }

  get channels() {
    return [...this.#channels.values()];
  }

  get(channel) {
    return this.#channels.get(channel);
  }

  /** The stream begins after a position. */
  start(channel, epoch, cursor) {
    const entry = this.#channels.get(channel);
    if (entry !== undefined && entry.cursor === undefined && cursor !== undefined) {
      entry.epoch = epoch;
      entry.cursor = cursor;
      this.#changed();
    }
  }

  /** Enters a message; false when it had been here before, and must not be shown again. */
  message({ channel, epoch, offset }) {
    const entry = this.#channels.get(channel);
    if (entry === undefined) {
      return false;
    }
    const sameEpoch = entry.epoch === undefined || entry.epoch === epoch;
    if (sameEpoch && entry.cursor !== undefined && offset <= entry.cursor) {
      entry.repeats++;
      this.#changed();
      return false;
    }
    if (entry.cursor !== undefined && (!sameEpoch || offset !== entry.cursor + 1)) {
      // A hole that nobody announced: the one thing that must never be.
      entry.gaps++;
    }
    entry.epoch = epoch;
    entry.cursor = offset;
    entry.messages++;
    this.#changed();
    return true;
  }

  /** Enters an announced gap. */
  gap({ channel, epoch, to }) {
    const entry = this.#channels.get(channel);
    if (entry !== undefined) {
      entry.gaps++;
      entry.epoch = epoch;
      entry.cursor = to;
      this.#changed();
    }
  }

  /** The sums over the durable channels; an ephemeral one may drop what is late. */
  totals() {
    const totals = { messages: 0, gaps: 0, repeats: 0 };
    for (const entry of this.#channels.values()) {
      if (entry.durable) {
        totals.messages += entry.messages;
        totals.gaps += entry.gaps;
        totals.repeats += entry.repeats;
      }
    }
    return totals;
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}
