/** How the visitor's webhooks are tried again: soon, since somebody is watching; then they are dead letters. */
const schedule = [0, 2, 4, 8, 16, 30];
const receiverPath = '/playground/receiver/';

/** A request that the server refused. */
export class HookError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** What this page asks the server about webhooks and their sample receivers. */
export class HookService {
  #link;
  #channel;

  constructor(link, channel) {
    this.#link = link;
    this.#channel = channel;
  }

  get api() {
    return this.#link.webhooks;
  }

  /** The webhooks of this room, in the order in which they were made. */
  async list() {
    const found = [];
    for await (const webhook of this.api.list()) {
      if (webhook.channels.includes(this.#channel)) {
        found.push(webhook);
      }
    }
    return found;
  }

  /** Makes a webhook with a receiver of its own. */
  async make(mode) {
    const name = hex(8);
    // A receiver is made with a secret; that of the webhook is known only once there is one.
    const { url } = await this.receiver(name, { behaviour: 'ok', secret: `whsec_${btoa(hex(16))}` });
    const webhook = await this.api.create({
      url, mode, channels: [this.#channel], retry: { schedule }, description: 'Made in the playground',
      ...(mode === 'keyed' ? { keySeparator: ':' } : {}),
      ...(mode === 'ordered' ? { onExhausted: 'deadLetter' } : {}),
    });
    await this.receiver(name, { secret: webhook.secret });
    return webhook;
  }

  /**
   * What the receiver of a webhook does and received. One that forgot its secret, because the server was started again, is told a new one;
   * the old one signs as well for a while, so that it does not matter if two pages do so at once.
   */
  async received(webhook) {
    const name = nameOf(webhook);
    try {
      return await this.receiver(name);
    } catch (error) {
      if (error.status !== 404) {
        throw error;
      }
      return this.receiver(name, { secret: await this.api.rotateSecret(webhook.id) });
    }
  }

  /** Breaks or mends the receiver of a webhook. */
  async answerWith(webhook, behaviour) {
    return this.receiver(nameOf(webhook), { behaviour });
  }

  async attempts(webhook, most) {
    return first(this.api.attempts(webhook.id, { pageSize: most }), most);
  }

  async deadLetters(webhook, most) {
    return first(this.api.deadLetters(webhook.id), most);
  }

  /** Reads a receiver, or changes it first. */
  async receiver(name, change) {
    const init = change === undefined ? {} : { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify(change) };
    const response = await this.#link.request(receiverPath + name, init);
    const body = await response.json().catch(() => ({}));
    if (!response.ok) {
      throw new HookError(response.status, body.detail ?? `HTTP ${response.status}`);
    }
    return body;
  }
}

function nameOf({ url }) {
  return url.slice(url.lastIndexOf('/') + 1);
}

/** The first of what comes page by page; the rest is not fetched. */
async function first(items, most) {
  const found = [];
  for await (const item of items) {
    found.push(item);
    if (found.length === most) {
      break;
    }
  }
  return found;
}

function hex(bytes) {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
