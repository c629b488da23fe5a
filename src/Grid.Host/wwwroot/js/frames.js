import { byId, el, setText, timeOfDay } from './dom.js';

const maxRows = 200;
const maxText = 2_000;

/** The frames on the socket, newest first: at most 200, drawn at most once per animation frame. */
export class Frames {
  #list = byId('frames');
  #pause = byId('frames-pause');
  #withPointers = byId('frames-pointers');
  #count = byId('frames-count');
  /** Newest last; drawn rows and those that a pause holds back are both in here. */
  #waiting = [];
  #total = 0;
  #heldBack = 0;
  #paused = false;
  #frame = 0;

  constructor(link) {
    link.addEventListener('frame', ({ detail }) => this.#take(detail));
    this.#pause.addEventListener('click', () => {
      this.#paused = !this.#paused;
      this.#pause.setAttribute('aria-pressed', String(this.#paused));
      this.#refresh();
    });
    this.#list.append(el('li', { class: 'empty' }, 'Frames appear here as they pass.'));
  }

  #take({ direction, text, at, body }) {
    this.#total++;
    if (!this.#withPointers.checked && ofPointers(body)) {
      this.#refresh();
      return;
    }
    this.#waiting.push({ direction, text, at, body });
    this.#heldBack++;
    if (this.#waiting.length > maxRows) {
      this.#waiting.shift();
    }
    this.#refresh();
  }

  #refresh() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    this.#list.dataset.total = String(this.#total);
    setText(this.#pause, this.#paused ? (this.#heldBack > 0 ? `Go on (${this.#heldBack} new)` : 'Go on') : 'Pause');
    setText(this.#count, `${this.#total.toLocaleString('en')} so far, the last ${maxRows} shown`);
    if (this.#paused || this.#waiting.length === 0) {
      return;
    }
    this.#list.querySelector('.empty')?.remove();
    this.#list.prepend(...this.#waiting.reverse().map(row));
    this.#waiting = [];
    this.#heldBack = 0;
    while (this.#list.childElementCount > maxRows) {
      this.#list.lastElementChild.remove();
    }
  }
}

/** Whether a frame is of the many that move pointers, which would push all others out of the strip. */
function ofPointers({ type, channel, cursors }) {
  const channels = type === 'ack' ? Object.keys(cursors ?? {}) : type === 'message' || type === 'publish' ? [String(channel)] : [];
  return channels.length > 0 && channels.every((name) => name.startsWith('pointer:'));
}

/** One frame; its whole text is made only when somebody opens it. */
function row({ direction, text, at, body }) {
  const type = typeof body.type === 'string' ? body.type : '?';
  const summary = el('summary', {},
    el('span', { class: 'arrow', title: direction === 'in' ? 'from the server' : 'to the server' }, direction === 'in' ? '↓' : '↑'),
    el('span', { class: 'sr' }, direction === 'in' ? 'received' : 'sent'),
    el('time', {}, timeOfDay(at)),
    el('b', {}, type),
    el('span', { class: 'about' }, about(body)),
    el('span', { class: 'offset' }, Number.isInteger(body.offset) ? `#${body.offset}` : ''));
  const details = el('details', {}, summary);
  details.addEventListener('toggle', () => {
    if (details.open && details.childElementCount === 1) {
      details.append(el('pre', {}, text.length > maxText ? `${text.slice(0, maxText)} … (${text.length} characters)` : text));
    }
  });
  return el('li', { class: direction, 'data-testid': 'frame', 'data-type': type, 'data-direction': direction }, details);
}

function about(body) {
  switch (body.type) {
    case 'hello':
      return body.resume === undefined ? 'a new session' : `resume ${short(body.resume.session)}`;
    case 'welcome':
      return `${body.state} ${short(body.session)}`;
    case 'ack':
      return Object.entries(body.cursors ?? {}).map(([channel, offset]) => `${channel} → ${offset}`).join(', ');
    case 'subscribe':
      return `${body.channel} from ${typeof body.from === 'object' ? JSON.stringify(body.from) : body.from ?? 'now'}`;
    case 'subscribed':
      return `${body.channel} cursor ${body.cursor}, head ${body.head}`;
    case 'gap':
      return `${body.channel} ${body.from}–${body.to} ${body.reason}`;
    case 'error':
      return `${body.code}: ${body.message}`;
    case 'goaway':
      return `${body.reason}, in ${body.reconnectInMs} ms`;
    default:
      return typeof body.channel === 'string' ? body.channel : '';
  }
}

/** The start of a session id, enough to tell it from another. */
export function short(id) {
  return typeof id === 'string' ? id.slice(0, 8) : '';
}
