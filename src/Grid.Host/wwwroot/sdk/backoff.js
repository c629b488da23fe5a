/**
 * Full-jitter backoff: the n-th delay is drawn evenly from 0 to `min(maxDelayMs, minDelayMs · 2ⁿ)`. Drawing from zero, and not
 * from half, spreads a crowd of clients that lost the same server the furthest.
 */
export class Backoff {
    #minDelayMs;
    #maxDelayMs;
    #random;
    #attempt = 0;
    constructor(minDelayMs, maxDelayMs, random) {
        this.#minDelayMs = minDelayMs;
        this.#maxDelayMs = maxDelayMs;
        this.#random = random;
    }
    /** The next delay, in milliseconds. */
    next() {
        // The exponent is capped so that it cannot overflow in an outage of days.
        const ceiling = Math.min(this.#maxDelayMs, this.#minDelayMs * 2 ** Math.min(this.#attempt, 30));
        this.#attempt++;
        return this.#random() * ceiling;
    }
    /** Starts over. */
    reset() {
        this.#attempt = 0;
    }
}
