import { describe, GridError, type GridErrorCode } from './errors.js';
import type {
  PolledMessage, Webhook, WebhookAttempt, WebhookAttemptFilter, WebhookChange, WebhookDeadLetter, WebhookMessage, WebhookPast, WebhookReplay,
  WebhookSettings,
} from './webhook-types.js';

export type * from './webhook-types.js';

/** How the server is reached. */
export interface GridWebhooksOptions {
  /** The server's address, for example `http://localhost:8080`. */
  readonly url: string;
  /** The API key. A secret: this class is for servers, not for pages. */
  readonly apiKey: string;
  /** Sends the requests. Default: the platform's `fetch`. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/**
 * Manages webhook subscriptions over HTTP, from an application's own server. The API key needs `subscribe` on all channels of a
 * subscription. It retries nothing. Whatever fails is a {@link GridError}: `bad_frame` also when there is no such subscription, message or
 * replay, `conflict` when the subscription is in another state, `connection` when the server was not reached or its answer was lost.
 */
export class GridWebhooks {
  readonly #base: string;
  readonly #apiKey: string;
  readonly #fetch: (url: string, init: RequestInit) => Promise<Response>;

  constructor(options: GridWebhooksOptions) {
    this.#base = `${options.url.replace(/\/+$/, '')}/v1/webhooks`;
    this.#apiKey = options.apiKey;
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
  }

  /**
   * Makes a subscription: what is acknowledged to its publisher from now on is delivered. The answer has its `secret`, which is never shown
   * again. If the answer is lost it may have been made all the same: list before you try again.
   */
  async create(settings: WebhookSettings): Promise<Webhook> {
    return this.#json('POST', '', settings);
  }

  /** The tenant's subscriptions in the order of their creation, without cursors; pages are fetched as they are asked for. */
  list(): AsyncGenerator<Webhook, void, undefined> {
    return this.#pages<Webhook>('?limit=100', 'webhooks', 'after');
  }

  /** Tells how a subscription fares. */
  async get(id: string): Promise<Webhook> {
    return this.#json('GET', path(id));
  }

  /** Changes a subscription; cursors stay. */
  async update(id: string, change: WebhookChange): Promise<Webhook> {
    return this.#json('PATCH', path(id), change);
  }

  /** Removes a subscription with all that is stored of it. */
  async delete(id: string): Promise<void> {
    await this.#send('DELETE', path(id));
  }

  /** Makes a new secret and returns it; it is never shown again. The old one signs as well for `overlapSeconds` (default: a day). */
  async rotateSecret(id: string, overlapSeconds?: number): Promise<string> {
    return (await this.#json<{ secret: string }>('POST', path(id, '/rotate-secret'), { overlapSeconds })).secret;
  }

  /** Sends a `grid.test` event to the endpoint now, and returns what became of it. */
  async test(id: string): Promise<WebhookAttempt> {
    return this.#json('POST', path(id, '/test'));
  }

  /** Stops deliveries, and keeps everything. */
  async pause(id: string): Promise<Webhook> {
    return this.#json('POST', path(id, '/pause'));
  }

  /** Goes on after a pause. */
  async resume(id: string): Promise<Webhook> {
    return this.#json('POST', path(id, '/resume'));
  }

  /** Switches a subscription off; cursors and backlog stay, within retention. */
  async disable(id: string): Promise<Webhook> {
    return this.#json('POST', path(id, '/disable'));
  }

  /** Switches a subscription on again: by default from where it stands, with which nothing is lost but what retention took. */
  async enable(id: string, resumeFrom?: 'cursor' | 'now' | WebhookPast): Promise<Webhook> {
    return this.#json('POST', path(id, '/enable'), { resumeFrom: typeof resumeFrom === 'object' ? past(resumeFrom) : resumeFrom });
  }

  /** Moves cursors: everything after these places is delivered (again), nothing before them. */
  async seek(id: string, to: 'now' | WebhookPast): Promise<void> {
    await this.#send('POST', path(id, '/seek'), to === 'now' ? { named: to } : past(to));
  }

  /** Sends one message again, whatever became of it. */
  async resend(id: string, messageId: string): Promise<void> {
    await this.#send('POST', path(id, `/messages/${segment(messageId)}/resend`));
  }

  /** Gives up one message; what waits for it goes on. */
  async skip(id: string, messageId: string): Promise<void> {
    await this.#send('POST', path(id, `/messages/${segment(messageId)}/skip`));
  }

  /** Attempts, newest first; pages are fetched as they are asked for. */
  attempts(id: string, filter: WebhookAttemptFilter = {}): AsyncGenerator<WebhookAttempt, void, undefined> {
    const query = new URLSearchParams({ limit: String(filter.pageSize ?? 50) });
    for (const name of ['status', 'messageId', 'since', 'until'] as const) {
      const value = filter[name];
      if (value !== undefined) {
        query.set(name, time(value));
      }
    }
    return this.#pages<WebhookAttempt>(path(id, `/attempts?${query}`), 'attempts', 'before');
  }

  /** Messages whose attempts are used up, newest first; pages are fetched as they are asked for. */
  deadLetters(id: string): AsyncGenerator<WebhookDeadLetter, void, undefined> {
    return this.#pages<WebhookDeadLetter>(path(id, '/dead-letters?limit=200'), 'deadLetters', 'after');
  }

  /** All dead letters with their messages, as far as they are kept, as they arrive. Leaving the loop ends the request. */
  async *exportDeadLetters(id: string): AsyncGenerator<WebhookDeadLetter & { readonly message?: WebhookMessage }, void, undefined> {
    const response = await this.#send('GET', path(id, '/dead-letters/export'));
    const reader = response.body?.getReader();
    if (reader === undefined) {
      return;
    }
    const decoder = new TextDecoder();
    let rest = '';
    try {
      for (;;) {
        const { done, value } = await reader.read().catch((error: unknown) => {
          throw new GridError('connection', `the server broke off: ${describe(error)}`, { cause: error });
        });
        const lines = (rest + (done ? decoder.decode() : decoder.decode(value, { stream: true }))).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          yield parse(line);
        }
        if (done) {
          return;
        }
      }
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }

  /** Puts dead letters on their way again, those named or all; returns how many. */
  async redrive(id: string, messages?: readonly string[]): Promise<number> {
    return (await this.#json<{ redriven: number }>('POST', path(id, '/dead-letters/redrive'), { messages })).redriven;
  }

  /** Delivers what matches from a place on once more, beside what is new. */
  async replay(id: string, from: WebhookPast, perSecond?: number): Promise<WebhookReplay> {
    return this.#json('POST', path(id, '/replay'), { ...past(from), perSecond });
  }

  /** Tells how far a replay is: while it lasts, and until the next one. */
  async getReplay(id: string, replayId: string): Promise<WebhookReplay> {
    return this.#json('GET', path(id, `/replays/${segment(replayId)}`));
  }

  /** Ends a replay. */
  async cancelReplay(id: string, replayId: string): Promise<WebhookReplay> {
    return this.#json('DELETE', path(id, `/replays/${segment(replayId)}`));
  }

  /**
   * Fetches messages of a subscription without a URL: up to `limit` (10; at most 256), each leased for `leaseSeconds` (30; at most 12
   * hours), after which what is not acknowledged is handed out again.
   */
  async poll<Data = unknown>(id: string, options: { limit?: number; leaseSeconds?: number } = {}): Promise<PolledMessage<Data>[]> {
    const { limit, leaseSeconds } = options;
    return (await this.#json<{ messages: PolledMessage<Data>[] }>('POST', path(id, '/poll'), { limit, leaseSeconds })).messages;
  }

  /** Says what became of messages that were handed out, by their leases; `returned` are handed out again now. Returns how many were acknowledged. */
  async ack(id: string, acked: readonly string[], returned: readonly string[] = []): Promise<number> {
    return (await this.#json<{ acknowledged: number }>('POST', path(id, '/ack'), { acked, returned })).acknowledged;
  }

  async *#pages<Item>(query: string, member: string, next: string): AsyncGenerator<Item, void, undefined> {
    for (let place: string | undefined; ;) {
      const page: Record<string, unknown> = await this.#json(
        'GET', place === undefined ? query : `${query}&${next}=${encodeURIComponent(place)}`);
      yield* page[member] as Item[];
      if (typeof page['next'] !== 'string') {
        return;
      }
      place = page['next'];
    }
  }

  async #json<Answer>(method: string, rest: string, body?: unknown): Promise<Answer> {
    const response = await this.#send(method, rest, body);
    return parse(await response.text().catch((error: unknown) => lost(error)));
  }

  /** Sends a request; the answer is a success whose body was not read. */
  async #send(method: string, rest: string, body?: unknown): Promise<Response> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.#apiKey}` };
    const init: RequestInit = { method, headers };
    if (body !== undefined) {
      headers['content-type'] = 'application/json';
      init.body = JSON.stringify(body);
    }
    const response = await this.#fetch(this.#base + rest, init).catch((error: unknown) => lost(error));
    if (!response.ok) {
      throw await refusal(response);
    }
    return response;
  }
}

function lost(error: unknown): never {
  // It may have reached the server all the same.
  throw new GridError('connection', `no answer of the server: ${describe(error)}`, { cause: error, outcomeUnknown: true });
}

function parse<Answer>(text: string): Answer {
  try {
    return JSON.parse(text) as Answer;
  } catch (error) {
    throw new GridError('protocol', 'the answer of the server is no JSON', { cause: error });
  }
}

async function refusal(response: Response): Promise<GridError> {
  // An error of something in between, such as a proxy, has another body: then the status says enough.
  const problem = await response.json().catch(() => undefined) as { code?: unknown; detail?: unknown } | undefined;
  const code = typeof problem?.code === 'string' ? problem.code as GridErrorCode : codeOf(response.status);
  const detail = typeof problem?.detail === 'string' ? problem.detail : response.statusText;
  const outcomeUnknown = response.status >= 500;
  const seconds = Number(response.headers.get('retry-after') ?? NaN);
  return new GridError(
    code, `${response.status}: ${detail}`, Number.isNaN(seconds) ? { outcomeUnknown } : { outcomeUnknown, retryAfterMs: seconds * 1000 });
}

function codeOf(status: number): GridErrorCode {
  switch (status) {
    case 401: return 'unauthorized';
    case 403: return 'forbidden';
    case 409: return 'conflict';
    case 413: return 'too_large';
    case 429: return 'rate_limited';
    case 502: case 503: case 504: return 'unavailable';
    default: return status < 500 ? 'bad_frame' : 'internal';
  }
}

function past(from: WebhookPast): object {
  return 'since' in from ? { since: time(from.since) } : { positions: from.positions };
}

function time(value: Date | string): string {
  return typeof value === 'string' ? value : value.toISOString();
}

function path(id: string, rest = ''): string {
  return `/${segment(id)}${rest}`;
}

function segment(text: string): string {
  // Empty, or of dots alone, it would name another place.
  if (typeof text !== 'string' || /^\.{0,2}$/.test(text)) {
    throw new GridError('bad_argument', 'an id is missing');
  }
  return encodeURIComponent(text);
}
