import type { Position } from './frames.js';

/** In which order messages are delivered. */
export type WebhookMode = 'parallel' | 'keyed' | 'ordered';

/** A subscription to make. What is left out has the server's default. */
export interface WebhookSettings {
  /** Where messages are sent. Left out: they are polled for, for the subscription's whole life. */
  readonly url?: string;
  /** 1 to 100 channels, or prefixes ending in `*`. */
  readonly channels: readonly string[];
  /** Up to 100 names of events, or prefixes ending in `*`. Left out or none: every message. */
  readonly events?: readonly string[];
  /** Default: `parallel`. */
  readonly mode?: WebhookMode;
  /** For `keyed`: lanes are the messages' keys up to this character. Left out: a lane is a channel. */
  readonly keySeparator?: string;
  /** For `ordered`: what becomes of a message whose attempts are used up. Default: `block`. */
  readonly onExhausted?: 'block' | 'deadLetter' | 'pause';
  /** For people, at most 500 characters. */
  readonly description?: string;
  /** Headers to send along, at most 20. The server never shows their values again. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The most requests per second, 0.01 to 10,000. Left out: no limit. */
  readonly rateLimit?: { readonly perSecond: number };
  /** The delays before each attempt in seconds. Left out: over about three days, as the Standard Webhooks specification has it. */
  readonly retry?: { readonly schedule: readonly number[] };
  /** Default: `json`. */
  readonly format?: 'json' | 'cloudevents' | 'cloudevents-binary';
  /** `v1`, and `v1a` for an Ed25519 signature too. Default: `v1`. */
  readonly signatures?: readonly ('v1' | 'v1a')[];
  /** Whether the endpoint must agree by the handshake of CloudEvents before anything is sent. Default: false. */
  readonly handshake?: boolean;
  /** `start`: with the oldest message kept. Default: `now`. */
  readonly from?: 'now' | 'start';
}

/** A change of a subscription: what is left out stays, null is the default. Of `headers`, those with null are taken away. */
export type WebhookChange = {
  readonly [Name in Exclude<keyof WebhookSettings, 'from' | 'headers' | 'url' | 'channels'>]?: WebhookSettings[Name] | null;
} & {
  readonly url?: string;
  readonly channels?: readonly string[];
  readonly headers?: Readonly<Record<string, string | null>> | null;
};

/** A subscription, and how it fares. */
export interface Webhook {
  /** Its id, `wh_…`. */
  readonly id: string;
  /** Its secret, `whsec_…`, only in the answer to its creation: it is never shown again. */
  readonly secret?: string;
  readonly status: 'active' | 'paused' | 'disabled';
  /** Why it is disabled: `request`, `gone` (the endpoint answered 410) or `noSuccess` (for 5 days). */
  readonly reason?: string;
  /** Where messages are sent; absent when they are polled for. */
  readonly url?: string;
  readonly channels: readonly string[];
  readonly events: readonly string[];
  readonly mode: WebhookMode;
  readonly keySeparator?: string;
  readonly onExhausted?: 'block' | 'deadLetter' | 'pause';
  readonly description?: string;
  /** Headers that are sent along; their values are not shown. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly rateLimit?: { readonly perSecond: number };
  readonly retry?: { readonly schedule: readonly number[] };
  readonly format: 'json' | 'cloudevents' | 'cloudevents-binary';
  readonly signatures: readonly ('v1' | 'v1a')[];
  /** Its public key for `v1a`, `whpk_…`. */
  readonly publicKey?: string;
  readonly handshake: boolean;
  /** RFC 3339, in UTC. */
  readonly createdAt: string;
  /** By channel: everything up to there is settled. Absent in lists. */
  readonly cursors?: Readonly<Record<string, Position>>;
  /**
   * How far it is behind: messages that are not settled, and how old the oldest of them is. In lists only a few channels are looked at, so that
   * it can be more.
   */
  readonly lag: { readonly messages: number; readonly seconds: number };
  /** Requests on their way. */
  readonly inFlight: number;
  /** `open`: the endpoint is taken for dead, and probed; `held`: it asked to be left alone. */
  readonly circuit: 'closed' | 'open' | 'held';
  /** When the endpoint is tried again, while the circuit is open or held. */
  readonly retryAt?: string;
  /** Messages that failed and wait for their next attempt. */
  readonly parked: number;
  /** The message that holds up what comes after it. */
  readonly blockedBy?: string;
  /** What retention took before it was delivered, newest first, at most 20. Absent in lists. */
  readonly truncated?: readonly { channel: string; epoch: string; from: number; to: number; count: number }[];
}

/** A request to an endpoint, and what became of it. */
export interface WebhookAttempt {
  readonly id: string;
  /** The message's id, the header `webhook-id`. */
  readonly messageId: string;
  /** The message's channel and offset; absent for a test. */
  readonly channel?: string;
  readonly offset?: number;
  /** The number of the attempt, from 1. */
  readonly attempt: number;
  /** When it began: RFC 3339, in UTC. */
  readonly at: string;
  readonly durationMs: number;
  /** The answer's status; absent when there was none. */
  readonly status?: number;
  /** Whether it counts as delivered. */
  readonly succeeded: boolean;
  /** What went wrong: `dns`, `refusedAddress`, `connect`, `tls`, `timeout`, `reset`, `protocol`, `redirect`, `status`, `proxy` or `busy`. */
  readonly error?: string;
  /** The same for people. */
  readonly detail?: string;
  /** The beginning of the answer. */
  readonly response?: string;
  /** Whether the answer was longer than what is kept of it. */
  readonly responseClipped: boolean;
}

/** Which attempts are wanted. */
export interface WebhookAttemptFilter {
  readonly status?: 'failed' | 'succeeded';
  readonly messageId?: string;
  /** Only those that began then or later. */
  readonly since?: Date | string;
  /** Only those that began before. */
  readonly until?: Date | string;
  /** How many are fetched at once, 1 to 200. Default: 50. */
  readonly pageSize?: number;
}

/** A message whose attempts are used up. */
export interface WebhookDeadLetter {
  readonly messageId: string;
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
  /** How many attempts it had. */
  readonly attempts: number;
  /** When the last one failed: RFC 3339, in UTC. */
  readonly at: string;
  /** How. */
  readonly failure?: string;
}

/** A message as it is stored: `data`, or `data64` when it is bytes (in base64). */
export interface WebhookMessage<Data = unknown> {
  readonly offset: number;
  /** When the channel accepted it, in Unix milliseconds. */
  readonly at: number;
  readonly data?: Data;
  readonly data64?: string;
  readonly key?: string;
  readonly event?: string;
  readonly from?: string;
}

/** A message that was handed out to who polls. */
export interface PolledMessage<Data = unknown> {
  /** What to acknowledge it by. */
  readonly lease: string;
  /** Its id, the same each time it is handed out. */
  readonly messageId: string;
  /** The how-manieth time it is handed out. */
  readonly attempt: number;
  readonly channel: string;
  readonly epoch: string;
  readonly message: WebhookMessage<Data>;
}

/** A replay. */
export interface WebhookReplay {
  readonly id: string;
  readonly status: 'running' | 'done' | 'cancelled';
  /** Messages delivered. */
  readonly delivered: number;
  /** Messages that failed at first; they are tried again like any other. */
  readonly failed: number;
  /** Offsets not yet settled. */
  readonly remaining: number;
}

/** A time to begin with, or places to begin after. */
export type WebhookPast =
  | { readonly since: Date | string }
  | { readonly positions: Readonly<Record<string, Position>> };
