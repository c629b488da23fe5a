import { byId, count, el, timeOfDay } from './dom.js';
import { cleanName, randomId } from './identity.js';
import { readColour } from './strokes.js';

/** The most messages kept on the page. */
const maxItems = 500;
const maxText = 1_000;

/** The durable chat. What is sent shows at once, as waiting, and takes its place in the order when the channel brings it. */
export class Chat {
  #link;
  #channel;
  #identity;
  #list = byId('chat-list');
  #input = byId('chat-input');
  /** What this tab has sent and not yet seen in the channel, by its key. */
  #pending = new Map();

  constructor(link, room, identity) {
    this.#link = link;
    this.#channel = `chat:${room}`;
    this.#identity = identity;
    byId('chat-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#showEmpty();
  }

  follow() {
    this.#link.follow(this.#channel, {
      durable: true,
      from: { last: 200 },
      onMessage: (message) => this.#receive(message),
      onGap: (gap) => this.#showGap(gap),
      // What was said before is not news; from here on a screen reader hears each message.
      onReady: () => this.#list.setAttribute('aria-live', 'polite'),
    });
  }

  #submit() {
    const text = this.#input.value.trim().slice(0, maxText);
    if (text === '') {
      return;
    }
    this.#input.value = '';
    const id = randomId();
    const data = { m: id, i: this.#identity.id, n: this.#identity.name, c: this.#identity.colour, t: text };
    const item = this.#item({ ...data, own: true });
    item.classList.add('waiting');
    item.dataset.testid = 'chat-pending';
    this.#pending.set(id, item);
    this.#append(item, true, null);
    this.#send(id, data, item);
  }

  #send(id, data, item) {
    item.classList.remove('failed');
    item.querySelector('.offset').replaceChildren('…');
    this.#link.publish(this.#channel, data, { key: id, event: 'chat.message' }).catch((error) => {
      if (!this.#pending.has(id)) {
        return;
      }
      item.classList.add('failed');
      const again = el('button', { type: 'button', class: 'again', title: error.message }, 'Send again');
      // The same key: if the first attempt had landed after all, it is still stored once.
      again.addEventListener('click', () => this.#send(id, data, item));
      item.querySelector('.offset').replaceChildren('not sent ', again);
    });
  }

  #receive({ offset, at, data, from }) {
    const text = typeof data?.t === 'string' ? data.t.slice(0, maxText) : undefined;
    const id = typeof data?.m === 'string' ? data.m : '';
    const own = data?.i === this.#identity.id;
    const waiting = own ? this.#pending.get(id) : undefined;
    if (waiting !== undefined) {
      this.#pending.delete(id);
      waiting.remove();
    }
    // A message of another shape still has its place in the order, so it is shown, if not understood.
    const shown = text ?? '(a message that this page does not understand)';
    this.#append(this.#item({ n: data?.n, c: data?.c, t: shown, own, offset, at, from }), own && waiting !== undefined);
  }

  #item({ n, c, t, own, offset, at, from }) {
    const name = cleanName(n) || from || 'Somebody';
    const head = el('div', { class: 'meta' },
      el('bdi', { class: 'author', title: from === undefined ? undefined : `user ${from}` }, name),
      at === undefined ? null : el('time', { datetime: new Date(at).toISOString() }, timeOfDay(at)),
      el('span', { class: 'offset', 'data-testid': 'chat-offset' }, offset === undefined ? '…' : `#${offset}`));
    return el('li', {
      class: `ink-${readColour(c)}${own ? ' own' : ''}`,
      'data-testid': 'chat-item',
      'data-offset': offset,
    }, head, el('p', { dir: 'auto' }, t));
  }

  #showGap({ from, to, reason }) {
    const text = reason === 'epoch'
      ? 'This channel began anew on the server.'
      : `${count(to - from + 1, 'message')} (#${from} to #${to}) no longer kept: ${reason}.`;
    this.#append(el('li', { class: 'remark', 'data-testid': 'chat-gap' }, text), false);
  }

  /**
   * Puts an item before what waits, or where told (null: at the end, where what is sent waits in the order of writing), and keeps
   * the end in view if it was, or if the visitor just wrote it.
   */
  #append(item, follow, before = this.#pending.values().next().value ?? null) {
    const list = this.#list;
    const atEnd = follow || list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    list.querySelector('.empty')?.remove();
    list.insertBefore(item, before);
    while (list.childElementCount > maxItems) {
      list.firstElementChild.remove();
    }
    if (atEnd) {
      list.scrollTop = list.scrollHeight;
    }
  }

  #showEmpty() {
    this.#list.append(el('li', { class: 'empty' }, 'Nothing said yet. Be the first.'));
  }
}
