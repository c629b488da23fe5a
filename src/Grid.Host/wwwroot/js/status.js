import { byId, count, duration, el, setText } from './dom.js';
import { short } from './frames.js';

/** How long "resumed" stays in the pill, in milliseconds. */
const resumedMs = 5_000;
/** How long a banner stays that tells of something the page overcomes by itself, in milliseconds. */
const passingMs = 12_000;

/** The pill and the proof panel: what state this tab is in, and what its ledger says. */
export class Status {
  #link;
  #pill = byId('state-pill');
  #rows = new Map();
  #resumes = 0;
  #lostAt;
  #resumedUntil = 0;
  #frame = 0;

  constructor(link) {
    this.#link = link;
    link.addEventListener('state', () => this.#stateChanged());
    link.addEventListener('welcome', ({ detail }) => this.#welcomed(detail));
    link.ledger.addEventListener('change', () => this.#refresh());
    setInterval(() => this.#showPill(), 250);
    this.#showPill();
  }

  #stateChanged() {
    if (this.#link.state === 'reconnecting') {
      this.#lostAt ??= performance.now();
    }
    this.#showPill();
  }

  #welcomed({ session, state }) {
    setText(byId('session-id'), short(session));
    byId('session-id').title = session;
    if (state === 'resumed') {
      this.#resumes++;
      this.#resumedUntil = performance.now() + resumedMs;
      setText(byId('resumes'), String(this.#resumes));
    }
    this.#lostAt = undefined;
  }

  #showPill() {
    const { tap, state, waiting } = this.#link;
    const away = this.#lostAt === undefined ? '' : ` ${Math.floor((performance.now() - this.#lostAt) / 1000)} s`;
    const queued = waiting > 0 && state !== 'connected' ? ` · ${waiting} waiting` : '';
    const [name, text] = tap.offline ? ['offline', `Offline${queued}`]
      : state === 'reconnecting' ? ['reconnecting', `Reconnecting${away}${queued}`]
      : state === 'connecting' || state === 'idle' ? ['connecting', 'Connecting']
      : state === 'closed' ? ['closed', 'Closed']
      : state === 'draining' ? ['draining', 'Changing servers']
      : performance.now() < this.#resumedUntil ? ['resumed', 'Resumed']
      : ['connected', 'Connected'];
    this.#pill.dataset.state = name;
    setText(byId('state-text'), text);
  }

  #refresh() {
    this.#frame ||= setTimeout(() => {
      this.#frame = 0;
      this.#showLedger();
    }, 50);
  }

  #showLedger() {
    const { ledger } = this.#link;
    const totals = ledger.totals();
    for (const name of ['gaps', 'repeats', 'messages']) {
      setText(byId(name), totals[name].toLocaleString('en'));
    }
    byId('gaps').classList.toggle('bad', totals.gaps > 0);
    byId('repeats').classList.toggle('bad', totals.repeats > 0);
    for (const entry of ledger.channels) {
      let row = this.#rows.get(entry.channel);
      if (row === undefined) {
        const kind = entry.durable ? 'durable' : 'ephemeral';
        row = { cursor: el('td', { class: 'number' }), epoch: el('td', { class: 'epoch' }) };
        row.cursor.dataset.testid = `cursor-${entry.channel.split(':')[0]}`;
        byId('cursors').append(el('tr', {}, el('th', { scope: 'row' }, entry.channel, ' ', el('small', {}, kind)), row.cursor, row.epoch));
        this.#rows.set(entry.channel, row);
      }
      setText(row.cursor, entry.cursor === undefined ? '…' : String(entry.cursor));
      setText(row.epoch, entry.epoch === undefined ? '' : entry.epoch.slice(0, 8));
    }
  }
}

/** The banner: what went wrong, in plain words, and what to do about it. */
export class Banner {
  #kind;
  #timer;

  constructor(link) {
    link.addEventListener('problem', ({ detail }) => this.show(detail));
    link.addEventListener('well', () => this.#hide());
    byId('banner-action').addEventListener('click', () => (this.#passes() ? this.#hide() : location.reload()));
  }

  show({ kind, message, closeCode }) {
    // The first reason is the true one: "closed" only follows from it.
    if (this.#kind === 'disabled' || this.#kind === 'sdk') {
      return;
    }
    this.#kind = kind;
    const [title, text, code] = words(kind, message, closeCode);
    setText(byId('banner-title'), title);
    setText(byId('banner-text'), text);
    setText(byId('banner-code'), code ?? '');
    byId('banner-code').hidden = code === undefined;
    setText(byId('banner-action'), this.#passes() ? 'Dismiss' : 'Try again');
    byId('banner').dataset.kind = kind;
    byId('banner').hidden = false;
    clearTimeout(this.#timer);
    if (this.#passes() && kind !== 'unreachable') {
      this.#timer = setTimeout(() => this.#hide(), passingMs);
    }
  }

  #passes() {
    return !['disabled', 'sdk', 'closed'].includes(this.#kind);
  }

  #hide() {
    clearTimeout(this.#timer);
    this.#kind = undefined;
    byId('banner').hidden = true;
  }
}

function words(kind, message, closeCode) {
  switch (kind) {
    case 'disabled':
      return ['The playground is closed to you on this server.',
        'By default only visitors from the server\'s own machine may use it. To open it to everybody, start the server with:',
        'Grid__Playground__Enabled=true'];
    case 'sdk':
      return ['This page is incomplete.', message];
    case 'unreachable':
      return ['No connection to the server yet.', `${message} This page keeps trying.`];
    case 'busy':
    case 'rate_limited':
    case 'quota_exceeded':
      return ['The server asks to slow down.', `${message} This page tries again by itself.`];
    case 'closed':
      return closeCode === 4503 || closeCode === 4505
        ? ['The server ended this session.', 'Somebody closed it, or its token was revoked. Load the page again for a new one.']
        : ['The connection is closed for good.', message];
    default:
      return ['Something did not work.', message];
  }
}

/**
 * What a break cost, in one sentence or three.
 * @param {{how: 'cut' | 'offline' | 'lost', expired: boolean, tookMs: number, caughtUp: number, sent: number, gaps: number, repeats: number}} outage
 */
export function verdict({ how, expired, tookMs, caughtUp, sent, gaps, repeats }) {
  const took = duration(tookMs);
  const session = expired ? 'Back with a new session' : 'Resumed';
  const sentences = [{
    cut: `${session} in ${took}.`,
    offline: `${session} ${took} after coming back online.`,
    lost: `${session} after an outage of ${took}.`,
  }[how]];
  const parts = [];
  if (caughtUp > 0) {
    parts.push(`${count(caughtUp, 'message')} caught up`);
  }
  if (sent > 0) {
    parts.push(`${sent} of yours had waited and went out`);
  }
  if (parts.length > 0) {
    const text = parts.join(', ');
    sentences.push(`${text[0].toUpperCase()}${text.slice(1)}.`);
  }
  sentences.push(gaps === 0 && repeats === 0 ? 'Nothing lost, nothing repeated.' : `Gaps: ${gaps}, repeats: ${repeats}.`);
  return sentences.join(' ');
}
