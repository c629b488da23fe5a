/** Why something failed: the server's codes, and those that only the client gives. */
export type GridErrorCode =
  // Given by the server.
  | 'bad_frame' | 'unauthorized' | 'forbidden' | 'not_subscribed' | 'too_large' | 'rate_limited' | 'quota_exceeded'
  | 'conflict' | 'invalid_position' | 'unavailable' | 'internal'
  // Given by the client.
  /** The send queue is at its bound; nothing was queued. */
  | 'queue_full'
  /** No answer within the time allowed. */
  | 'timeout'
  /** The client is closed. */
  | 'closed'
  /** The channel already has a subscription in this client. */
  | 'already_subscribed'
  /** A message or gap handler threw. */
  | 'handler_failed'
  /** The server broke the protocol; the client reconnects by itself. */
  | 'protocol'
  /** The socket was lost or could not be opened; the client reconnects by itself. */
  | 'connection'
  /** The token provider failed. */
  | 'token_provider'
  /** The session store failed; the connection goes on without it. */
  | 'storage'
  /** An option or argument is not usable. */
  | 'bad_argument';

/** What else is known of a {@link GridError}. */
export interface GridErrorDetails {
  /** The channel concerned. */
  readonly channel?: string;
  /** When trying again makes sense, in milliseconds from now. */
  readonly retryAfterMs?: number;
  /** The WebSocket close code, when a close caused the error. */
  readonly closeCode?: number;
  /** True when a publish may or may not have been stored. */
  readonly outcomeUnknown?: boolean;
  /** The error underneath. */
  readonly cause?: unknown;
}

/** Every error of the client. Decide by {@link GridError.code}; the message is for people. */
export class GridError extends Error {
  /** Why. */
  readonly code: GridErrorCode;
  /** The channel concerned, if any. */
  readonly channel: string | undefined;
  /** When trying again makes sense, in milliseconds from now; undefined when it does not or is unknown. */
  readonly retryAfterMs: number | undefined;
  /** The WebSocket close code, when a close caused the error. */
  readonly closeCode: number | undefined;
  /**
   * For a failed publish: true when it may have been stored all the same, because it was sent and no answer came, or the
   * answer was that the server does not know (`unavailable`, `internal`).
   * Publishing again with the same `key` is then safe. False means that it certainly was not stored.
   */
  readonly outcomeUnknown: boolean;

  constructor(code: GridErrorCode, message: string, details: GridErrorDetails = {}) {
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
export function describe(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
