import { describe, GridError } from './errors.js';
/**
 * Manages webhook subscriptions over HTTP, from an application's own server. The API key needs `subscribe` on all channels of a
 * subscription. It retries nothing. Whatever fails is a {@link GridError}: `bad_frame` also when there is no such subscription, message or
 * replay, `conflict` when the subscription is in another state, `connection` when the server was not reached or its answer was lost.
 */
export class GridWebhooks {
    #base;
    #apiKey;
    #fetch;
    constructor(options) {
        this.#base = `${options.url.replace(/\/+$/, '')}/v1/webhooks`;
        this.#apiKey = options.apiKey;
        this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
    }
    /**
     * Makes a subscription: what is acknowledged to its publisher from now on is delivered. The answer has its `secret`, which is never shown
     * again. If the answer is lost it may have been made all the same: list before you try again.
     */
    async create(settings) {
        return this.#json('POST', '', settings);
    }
    /** The tenant's subscriptions in the order of their creation, without cursors; pages are fetched as they are asked for. */
    list() {
        return this.#pages('?limit=100', 'webhooks', 'after');
    }
    /** Tells how a subscription fares. */
    async get(id) {
        return this.#json('GET', path(id));
    }
    /** Changes a subscription; cursors stay. */
    async update(id, change) {
        return this.#json('PATCH', path(id), change);
    }
    /** Removes a subscription with all that is stored of it. */
    async delete(id) {
        await this.#send('DELETE', path(id));
    }
    /** Makes a new secret and returns it; it is never shown again. The old one signs as well for `overlapSeconds` (default: a day). */
    async rotateSecret(id, overlapSeconds) {
        return (await this.#json('POST', path(id, '/rotate-secret'), { overlapSeconds })).secret;
    }
    /** Sends a `grid.test` event to the endpoint now, and returns what became of it. */
    async test(id) {
        return this.#json('POST', path(id, '/test'));
    }
    /** Stops deliveries, and keeps everything. */
    async pause(id) {
        return this.#json('POST', path(id, '/pause'));
    }
    /** Goes on after a pause. */
    async resume(id) {
        return this.#json('POST', path(id, '/resume'));
    }
    /** Switches a subscription off; cursors and backlog stay, within retention. */
    async disable(id) {
        return this.#json('POST', path(id, '/disable'));
    }
    /** Switches a subscription on again: by default from where it stands, with which nothing is lost but what retention took. */
    async enable(id, resumeFrom) {
        return this.#json('POST', path(id, '/enable'), { resumeFrom: typeof resumeFrom === 'object' ? past(resumeFrom) : resumeFrom });
    }
    /** Moves cursors: everything after these places is delivered (again), nothing before them. */
    async seek(id, to) {
        await this.#send('POST', path(id, '/seek'), to === 'now' ? { named: to } : past(to));
    }
    /** Sends one message again, whatever became of it. */
    async resend(id, messageId) {
        await this.#send('POST', path(id, `/messages/${segment(messageId)}/resend`));
    }
    /** Gives up one message; what waits for it goes on. */
    async skip(id, messageId) {
        await this.#send('POST', path(id, `/messages/${segment(messageId)}/skip`));
    }
    /** Attempts, newest first; pages are fetched as they are asked for. */
    attempts(id, filter = {}) {
        const query = new URLSearchParams({ limit: String(filter.pageSize ?? 50) });
        for (const name of ['status', 'messageId', 'since', 'until']) {
            const value = filter[name];
            if (value !== undefined) {
                query.set(name, time(value));
            }
        }
        return this.#pages(path(id, `/attempts?${query}`), 'attempts', 'before');
    }
    /** Messages whose attempts are used up, newest first; pages are fetched as they are asked for. */
    deadLetters(id) {
        return this.#pages(path(id, '/dead-letters?limit=200'), 'deadLetters', 'after');
    }
    /** All dead letters with their messages, as far as they are kept, as they arrive. Leaving the loop ends the request. */
    async *exportDeadLetters(id) {
        const response = await this.#send('GET', path(id, '/dead-letters/export'));
        const reader = response.body?.getReader();
        if (reader === undefined) {
            return;
        }
        const decoder = new TextDecoder();
        let rest = '';
        try {
            for (;;) {
                const { done, value } = await reader.read().catch((error) => {
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
        }
        finally {
            await reader.cancel().catch(() => undefined);
        }
    }
    /** Puts dead letters on their way again, those named or all; returns how many. */
    async redrive(id, messages) {
        return (await this.#json('POST', path(id, '/dead-letters/redrive'), { messages })).redriven;
    }
    /** Delivers what matches from a place on once more, beside what is new. */
    async replay(id, from, perSecond) {
        return this.#json('POST', path(id, '/replay'), { ...past(from), perSecond });
    }
    /** Tells how far a replay is: while it lasts, and until the next one. */
    async getReplay(id, replayId) {
        return this.#json('GET', path(id, `/replays/${segment(replayId)}`));
    }
    /** Ends a replay. */
    async cancelReplay(id, replayId) {
        return this.#json('DELETE', path(id, `/replays/${segment(replayId)}`));
    }
    /**
     * Fetches messages of a subscription without a URL: up to `limit` (10; at most 256), each leased for `leaseSeconds` (30; at most 12
     * hours), after which what is not acknowledged is handed out again.
     */
    async poll(id, options = {}) {
        const { limit, leaseSeconds } = options;
        return (await this.#json('POST', path(id, '/poll'), { limit, leaseSeconds })).messages;
    }
    /** Says what became of messages that were handed out, by their leases; `returned` are handed out again now. Returns how many were acknowledged. */
    async ack(id, acked, returned = []) {
        return (await this.#json('POST', path(id, '/ack'), { acked, returned })).acknowledged;
    }
    async *#pages(query, member, next) {
        for (let place;;) {
            const page = await this.#json('GET', place === undefined ? query : `${query}&${next}=${encodeURIComponent(place)}`);
            yield* page[member];
            if (typeof page['next'] !== 'string') {
                return;
            }
            place = page['next'];
        }
    }
    async #json(method, rest, body) {
        const response = await this.#send(method, rest, body);
        return parse(await response.text().catch((error) => lost(error)));
    }
    /** Sends a request; the answer is a success whose body was not read. */
    async #send(method, rest, body) {
        const headers = { authorization: `Bearer ${this.#apiKey}` };
        const init = { method, headers };
        if (body !== undefined) {
            headers['content-type'] = 'application/json';
            init.body = JSON.stringify(body);
        }
        const response = await this.#fetch(this.#base + rest, init).catch((error) => lost(error));
        if (!response.ok) {
            throw await refusal(response);
        }
        return response;
    }
}
function lost(error) {
    // It may have reached the server all the same.
    throw new GridError('connection', `no answer of the server: ${describe(error)}`, { cause: error, outcomeUnknown: true });
}
function parse(text) {
    try {
        return JSON.parse(text);
    }
    catch (error) {
        throw new GridError('protocol', 'the answer of the server is no JSON', { cause: error });
    }
}
async function refusal(response) {
    // An error of something in between, such as a proxy, has another body: then the status says enough.
    const problem = await response.json().catch(() => undefined);
    const code = typeof problem?.code === 'string' ? problem.code : codeOf(response.status);
    const detail = typeof problem?.detail === 'string' ? problem.detail : response.statusText;
    const outcomeUnknown = response.status >= 500;
    const seconds = Number(response.headers.get('retry-after') ?? NaN);
    return new GridError(code, `${response.status}: ${detail}`, Number.isNaN(seconds) ? { outcomeUnknown } : { outcomeUnknown, retryAfterMs: seconds * 1000 });
}
function codeOf(status) {
    switch (status) {
        case 401: return 'unauthorized';
        case 403: return 'forbidden';
        case 409: return 'conflict';
        case 413: return 'too_large';
        case 429: return 'rate_limited';
        case 502:
        case 503:
        case 504: return 'unavailable';
        default: return status < 500 ? 'bad_frame' : 'internal';
    }
}
function past(from) {
    return 'since' in from ? { since: time(from.since) } : { positions: from.positions };
}
function time(value) {
    return typeof value === 'string' ? value : value.toISOString();
}
function path(id, rest = '') {
    return `/${segment(id)}${rest}`;
}
function segment(text) {
    // Empty, or of dots alone, it would name another place.
    if (typeof text !== 'string' || /^\.{0,2}$/.test(text)) {
        throw new GridError('bad_argument', 'an id is missing');
    }
    return encodeURIComponent(text);
}
