import { byId, count, duration, el, setText } from './dom.js';
import { HookService } from './hook-service.js';
import { attemptRow, deadLetterRow, eventRow, facts, fill, requestRow, tags } from './hook-rows.js';
import { randomId } from './identity.js';

/** How often the page looks: while there is a webhook, and while there is none (somebody else may make one), in milliseconds. */
const watchMs = 1_000;
const idleMs = 5_000;
const maxRows = 40;
const maxEvents = 60;

/** What the sample receiver can be told to do: the server's word, what it means, and whether deliveries succeed. */
const behaviours = [
  ['ok', '204', true], ['slow', '204 after 3 s', true], ['error', '500'], ['flap', '500 every other time'], ['reject', '400'],
  ['busy', '429, Retry-After'], ['gone', '410'], ['redirect', '302'], ['hang', 'nothing: hangs'], ['reset', 'nothing: resets'],
];

const remarks = {
  ok: 'Mended. What failed is sent again when its turn comes; what comes now, at once.',
  slow: 'The receiver takes three seconds. Its requests wait apart, so that nobody else waits for them.',
  error: 'Broken: 500. Publish, and see each message tried again after 2, 4, 8, 16 and 30 s; ten failures in a row open the circuit.',
  flap: 'Every other request fails. Nothing is lost: what failed comes again, with the same id.',
  reject: 'The receiver refuses messages: 400. They are tried again, and end as dead letters.',
  busy: 'The receiver asks for 10 s of peace. The whole endpoint is held, and no attempt is used up.',
  gone: 'The receiver says 410: at the next delivery the webhook is disabled. Its cursor and backlog stay.',
  redirect: 'A redirect is a failure: it is not followed.',
  hang: 'The receiver does not answer. Each attempt ends after 15 s.',
  reset: 'The receiver closes the connection instead of answering.',
};

/** The webhooks of the room: made, used, broken and mended. */
export class Hooks {
  #link;
  #channel;
  #service;
  #webhooks = [];
  #selected;
  #cards = new Map();
  #events = [];
  #published = 0;
  #replay;
  #timer;
  #looking;
  #again = false;

  /** How many choices of what the receiver does were made here, and how many of them it was not told yet. */
  #choices = 0;
  #untold = 0;

  constructor(link, room) {
    this.#link = link;
    this.#channel = `hook:${room}`;
    this.#service = new HookService(link, this.#channel);
    setText(byId('hook-channel'), this.#channel);
    this.#makeBehaviours();
    byId('hook-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#do('hook-make', () => this.#make());
    });
    this.#on('hook-publish', () => this.#publish(1));
    this.#on('hook-publish-many', () => this.#publish(20));
    this.#on('hook-test', (webhook) => this.#test(webhook));
    this.#on('hook-pause', ({ id, status }) => (status === 'paused' ? this.#service.api.resume(id) : this.#service.api.pause(id)));
    this.#on('hook-disable', ({ id, status }) => (status === 'disabled' ? this.#service.api.enable(id) : this.#service.api.disable(id)));
    this.#on('hook-replay', (webhook) => this.#startReplay(webhook));
    this.#on('hook-redrive', (webhook) => this.#redrive(webhook));
    this.#on('hook-remove', (webhook) => this.#service.api.delete(webhook.id));
    document.addEventListener('visibilitychange', () => this.#look());
    link.addEventListener('well', () => this.#look());
  }

  follow() {
    this.#link.follow('grid:webhooks', {
      durable: true,
      from: { last: 50 },
      onMessage: ({ offset, at, event, data }) => {
        this.#events.unshift({ offset, at, event, data });
        this.#events.length = Math.min(this.#events.length, maxEvents);
        this.#look();
      },
    });
  }

  #makeBehaviours() {
    for (const [name, text, fine] of behaviours) {
      const input = el('input', { type: 'radio', name: 'does', value: name, 'data-testid': `does-${name}` });
      input.addEventListener('change', () => this.#do(undefined, async (webhook) => {
        this.#choices++;
        this.#untold++;
        try {
          await this.#service.answerWith(webhook, name);
        } finally {
          this.#untold--;
        }
        this.#say(fine ? 'good' : 'busy', remarks[name]);
      }));
      byId('does').append(el('label', { class: fine && 'fine' }, input, text));
    }
  }

  #on(id, action) {
    byId(id).addEventListener('click', () => this.#do(id, action));
  }

  /** Does something with the webhook that is chosen, tells what went wrong, and looks what came of it. */
  async #do(id, action) {
    const button = id === undefined ? undefined : byId(id);
    if (button?.getAttribute('aria-busy') === 'true') {
      return;
    }
    button?.setAttribute('aria-busy', 'true');
    try {
      await action(this.#current());
    } catch (error) {
      this.#say('bad', error.message);
    } finally {
      button?.removeAttribute('aria-busy');
    }
    this.#look();
  }

  #current() {
    return this.#webhooks.find(({ id }) => id === this.#selected);
  }

  async #make() {
    const webhook = await this.#service.make(byId('hook-mode').value);
    this.#selected = webhook.id;
    this.#say('good', 'Made, with a secret that its receiver checks every signature with. Now publish.');
  }

  /** Orders of four customers; the key's beginning is what `keyed` keeps in order. */
  async #publish(howMany) {
    await Promise.all(Array.from({ length: howMany }, () => {
      const order = ++this.#published;
      const customer = `c${order % 4}`;
      return this.#link.publish(this.#channel, { order, customer }, { key: `${customer}:${randomId()}`, event: 'order.created' });
    }));
  }

  async #test({ id }) {
    const { succeeded, status, detail, durationMs } = await this.#service.api.test(id);
    this.#say(succeeded ? 'good' : 'bad', succeeded
      ? `A grid.test event was answered ${status} in ${duration(durationMs)}.`
      : `A grid.test event failed: ${detail ?? `answered ${status}`}`);
  }

  async #startReplay({ id, createdAt }) {
    const { id: replay } = await this.#service.api.replay(id, { since: createdAt }, 20);
    this.#replay = { id, replay };
  }

  async #redrive({ id }) {
    const redriven = await this.#service.api.redrive(id);
    this.#say('good', `${count(redriven, 'dead letter')} on the way again, with all attempts anew.`);
  }

  #say(mood, text) {
    byId('hook-say').dataset.mood = mood;
    setText(byId('hook-say'), text);
  }

  /** Looks now, and from then on at intervals; a page that nobody sees waits. */
  #look() {
    clearTimeout(this.#timer);
    if (this.#looking) {
      this.#again = true;
      return;
    }
    if (document.hidden || this.#link.webhooks === undefined) {
      return;
    }
    this.#looking = true;
    this.#show().then(() => (this.#webhooks.length > 0 ? watchMs : idleMs), (error) => error.retryAfterMs ?? idleMs).then((ms) => {
      this.#looking = false;
      if (this.#again) {
        this.#again = false;
        this.#timer = setTimeout(() => this.#look(), 100);
      } else {
        this.#timer = setTimeout(() => this.#look(), ms);
      }
    });
  }

  async #show() {
    this.#webhooks = await this.#service.list();
    if (this.#current() === undefined) {
      this.#selected = this.#webhooks.at(-1)?.id;
    }
    this.#showCards();
    const webhook = this.#current();
    byId('hooks-body').hidden = webhook === undefined;
    if (webhook === undefined) {
      return;
    }
    this.#showControls(webhook);
    const choices = this.#untold > 0 ? undefined : this.#choices;
    const [receiver, attempts, dead] = await Promise.all([
      this.#service.received(webhook), this.#service.attempts(webhook, maxRows), this.#service.deadLetters(webhook, maxRows), this.#showReplay(),
    ]);
    if (this.#selected !== webhook.id) {
      return;
    }
    this.#showReceiver(receiver, choices === this.#choices);
    fill(byId('hook-attempts'), attempts, ({ id }) => id, attemptRow, 'None yet: publish something.');
    fill(byId('hook-dead'), dead, ({ messageId, at }) => messageId + at, deadLetterRow, 'None: no message has used up its attempts.');
    byId('hook-redrive').disabled = dead.length === 0;
    const ids = this.#webhooks.map(({ id }) => id);
    const events = this.#events.filter(({ data }) => ids.includes(data?.webhook));
    fill(byId('hook-events'), events, ({ offset }) => offset, eventRow, 'None yet: break the receiver.');
  }

  #showCards() {
    for (const [id, card] of this.#cards) {
      if (!this.#webhooks.some((webhook) => webhook.id === id)) {
        card.item.remove();
        this.#cards.delete(id);
      }
    }
    for (const webhook of this.#webhooks) {
      let card = this.#cards.get(webhook.id);
      if (card === undefined) {
        const input = el('input', { type: 'radio', name: 'hook', value: webhook.id });
        input.addEventListener('change', () => {
          this.#selected = webhook.id;
          this.#look();
        });
        card = { input, tags: el('span', { class: 'tags' }), facts: el('span', { class: 'hook-facts' }), shown: '' };
        card.item = el('li', { 'data-testid': 'hook' }, el('label', {}, input,
          el('span', { class: 'hook-name' }, el('code', { title: webhook.id }, `…${webhook.id.slice(-8)}`), webhook.mode, card.tags), card.facts));
        this.#cards.set(webhook.id, card);
        byId('hook-list').append(card.item);
      }
      card.input.checked = webhook.id === this.#selected;
      card.item.dataset.status = webhook.status;
      card.item.dataset.circuit = webhook.circuit;
      const shown = tags(webhook);
      const text = JSON.stringify(shown);
      if (card.shown !== text) {
        card.shown = text;
        card.tags.replaceChildren(...shown.flatMap(([kind, word]) => [el('span', { class: `tag ${kind}` }, word), ' ']));
      }
      setText(card.facts, facts(webhook));
    }
  }

  #showControls({ status, reason }) {
    setText(byId('hook-pause'), status === 'paused' ? 'Resume' : 'Pause');
    byId('hook-pause').disabled = status === 'disabled';
    setText(byId('hook-disable'), status === 'disabled' ? 'Enable' : 'Disable');
    if (status === 'disabled' && reason === 'gone') {
      this.#say('bad', 'The receiver answered 410, so the webhook was disabled. Mend the receiver, then enable it: it goes on from its cursor.');
    }
  }

  /** What was asked before a choice was told would take the choice back on the page. */
  #showReceiver({ behaviour, accepted, repeats, refused, received }, isAfterChoices) {
    const chosen = document.querySelector(`#does input[value="${behaviour}"]`);
    if (chosen !== null && isAfterChoices) {
      chosen.checked = true;
    }
    setText(byId('hook-counts'), [
      `${accepted} accepted`, `${repeats} repeated`, ...(refused > 0 ? [`${refused} refused`] : []),
    ].join(', '));
    byId('hook-received').dataset.accepted = String(accepted);
    byId('hook-received').dataset.repeats = String(repeats);
    fill(byId('hook-received'), received, ({ number }) => number, requestRow, 'Nothing yet.');
  }

  async #showReplay() {
    if (this.#replay === undefined) {
      return;
    }
    const { id, replay } = this.#replay;
    const { status, delivered, remaining } = await this.#service.api.getReplay(id, replay);
    if (status !== 'running') {
      this.#replay = undefined;
    }
    this.#say('good', status === 'running'
      ? `Replay: ${count(delivered, 'message')} delivered once more, ${remaining} to go.`
      : `Replay ${status}: ${count(delivered, 'message')} delivered once more, under their old ids.`);
  }
}
