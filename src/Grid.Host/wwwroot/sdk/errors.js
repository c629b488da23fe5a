/** Every error of the client. Decide by {@link GridError.code}; the message is for people. */
export class GridError extends Error {
    /** Why. */
    code;
    /** The channel concerned, if any. */
    channel;
    /** When trying again makes sense, in milliseconds from now; undefined when it does not or is unknown. */
    retryAfterMs;
    /** The WebSocket close code, when a close caused the error. */
    closeCode;
    /**
     * For a failed publish: true when it may have been stored all the same, because it was sent and no answer came, or the
     * answer was that the server does not know (`unavailable`, `internal`).
     * Publishing again with the same `key` is then safe. False means that it certainly was not stored.
     */
    outcomeUnknown;
    constructor(code, message, details = {}) {
        super(message, details.cause === undefined ? undefined : { cause: details.cause });
        this.name = 'GridError';
        this.code = code;
        this.channel = details.channel;
        this.retryAfterMs = details.retryAfterMs;
        this.closeCode = details.closeCode;
        this.outcomeUnknown = details.outcomeUnknown ?? false;
    }
}
/** The text of anything that was thrown. */
export function describe(thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
}
