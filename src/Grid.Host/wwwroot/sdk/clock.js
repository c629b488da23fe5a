/** The machine's clock. */
export const systemClock = {
    now: () => Date.now(),
    setTimeout: (action, delayMs) => setTimeout(action, delayMs),
    clearTimeout: (handle) => clearTimeout(handle),
};
// A longer delay overflows the 32-bit timers of browsers and Node, and fires at once.
const longestDelayMs = 2 ** 31 - 1;
/** One timer that can be armed again: arming replaces what was armed before. */
export class Timer {
    #clock;
    #handle;
    #armed = false;
    constructor(clock) {
        this.#clock = clock;
    }
    /** Whether an action is waiting. */
    get armed() {
        return this.#armed;
    }
    /** Calls `action` after `delayMs`; at most 24.8 days, the longest a platform timer holds. */
    arm(delayMs, action) {
        this.cancel();
        this.#armed = true;
        this.#handle = this.#clock.setTimeout(() => {
            this.#armed = false;
            action();
        }, Math.min(Math.max(0, delayMs), longestDelayMs));
    }
    /** Forgets the waiting action. */
    cancel() {
        if (this.#armed) {
            this.#armed = false;
            this.#clock.clearTimeout(this.#handle);
        }
    }
}
