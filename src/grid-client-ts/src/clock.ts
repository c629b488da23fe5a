/** Time as the client sees it; tests put their own in place. */
export interface Clock {
  /** Now, in milliseconds since the Unix epoch. */
  now(): number;
  /** Calls `action` once after `delayMs`. */
  setTimeout(action: () => void, delayMs: number): unknown;
  /** Takes back what {@link setTimeout} returned. */
  clearTimeout(handle: unknown): void;
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (action, delayMs) => setTimeout(action, delayMs),
  clearTimeout: (handle) => clearTimeout(handle as number),
};

// A longer delay overflows the 32-bit timers of browsers and Node, and fires at once.
const longestDelayMs = 2 ** 31 - 1;

/** One timer that can be armed again: arming replaces what was armed before. */
export class Timer {
  readonly #clock: Clock;
  #handle: unknown;
  #armed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether an action is waiting. */
  get armed(): boolean {
    return this.#armed;
  }

  /** Calls `action` after `delayMs`; at most 24.8 days, the longest a platform timer holds. */
  arm(delayMs: number, action: () => void): void {
    this.cancel();
    this.#armed = true;
    this.#handle = this.#clock.setTimeout(() => {
      this.#armed = false;
      action();
    }, Math.min(Math.max(0, delayMs), longestDelayMs));
  }

  /** Forgets the waiting action. */
  cancel(): void {
    if (this.#armed) {
      this.#armed = false;
      this.#clock.clearTimeout(this.#handle);
    }
  }
}
