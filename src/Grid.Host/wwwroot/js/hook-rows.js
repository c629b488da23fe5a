import { count, duration, el, timeOfDay } from './dom.js';

const circuits = { open: 'circuit open', held: 'held' };
const eventWords = {
  'webhook.failing': 'the endpoint begins to fail',
  'webhook.circuit_opened': 'taken for dead; probed from now on',
  'webhook.recovered': 'it is back',
  'webhook.disabled': 'disabled',
  'webhook.exhausted': 'a dead letter',
  'webhook.paused': 'paused at a message',
  'webhook.truncated': 'retention took messages',
};

/** Shows rows, and touches the list only when they differ from those that it has. */
export function fill(list, items, keyOf, row, empty) {
  const keys = items.map(keyOf).join(' ');
  if (list.dataset.keys === keys) {
    return;
  }
  list.dataset.keys = keys;
  list.replaceChildren(...(items.length > 0 ? items.map(row) : [el('li', { class: 'empty' }, empty)]));
}

/** What a webhook is, in words with their kind. */
export function tags({ status, reason, circuit }) {
  return [
    [{ active: '', paused: 'warn', disabled: 'bad' }[status], reason === undefined ? status : `${status}: ${reason}`],
    ...(circuits[circuit] === undefined ? [] : [[circuit === 'open' ? 'bad' : 'warn', circuits[circuit]]]),
  ];
}

/** How a webhook fares, in a line. */
export function facts({ lag, inFlight, parked, circuit, retryAt, blockedBy }) {
  const left = retryAt === undefined ? 0 : Math.max(0, Date.parse(retryAt) - Date.now());
  return [
    lag.messages === 0 ? 'nothing waits' : `${count(lag.messages, 'message')} behind, ${duration(lag.seconds * 1000)}`,
    `${inFlight} on the way`,
    ...(parked > 0 ? [`${parked} to try again`] : []),
    ...(blockedBy === undefined ? [] : ['held up by one that fails']),
    ...(circuit !== 'closed' && retryAt !== undefined ? [left > 0 ? `next try in ${duration(left)}` : 'next try now'] : []),
  ].join(' · ');
}

export function attemptRow({ at, offset, attempt, status, succeeded, error, detail, durationMs }) {
  const held = status === 429 || status === 503;
  return el('li', {
    'data-testid': 'hook-attempt', 'data-succeeded': String(succeeded), 'data-offset': offset, 'data-attempt': attempt, title: detail,
  },
  el('time', { datetime: at }, timeOfDay(Date.parse(at))),
  el('span', {}, offset === undefined ? 'test' : `#${offset}`),
  el('b', { class: succeeded ? 'good' : held ? 'held' : 'wrong' }, String(status ?? error)),
  el('span', { class: 'about' }, `attempt ${attempt}, ${duration(durationMs)}`));
}

export function requestRow({ at, offset, attempt, status, answer, body }) {
  return el('li', { 'data-testid': 'hook-request', 'data-offset': offset, title: body },
    el('time', { datetime: at }, timeOfDay(Date.parse(at))),
    el('span', {}, offset === 0 ? 'test' : `#${offset}`),
    el('b', { class: answer === 'ok' || answer === 'slow' ? 'good' : 'wrong' }, String(status ?? answer)),
    el('span', { class: 'about' }, attempt > 1 ? `attempt ${attempt} ${dataOf(body)}` : dataOf(body)));
}

/** The published part of the envelope, which the excerpt may have cut. */
function dataOf(body) {
  try {
    return JSON.stringify(JSON.parse(body).data);
  } catch {
    return body;
  }
}

export function eventRow({ at, event, data }) {
  const name = String(event).replace(/^webhook\./, '');
  const bad = name === 'recovered' ? 'good' : name === 'failing' || name === 'paused' ? 'held' : 'wrong';
  const about = [
    eventWords[event] ?? '', data.offset === undefined ? '' : `#${data.offset}`, data.failure === undefined ? '' : `(${data.failure})`,
    data.reason === undefined ? '' : `(${data.reason})`,
  ].filter((part) => part !== '').join(' ');
  return el('li', { 'data-testid': 'hook-event', 'data-event': event, title: about },
    el('time', {}, timeOfDay(at)), el('b', { class: bad }, name), el('span', { class: 'about' }, about));
}

export function deadLetterRow({ at, offset, attempts, failure }) {
  return el('li', { 'data-testid': 'hook-dead-letter', 'data-offset': offset },
    el('time', { datetime: at }, timeOfDay(Date.parse(at))),
    el('span', {}, `#${offset}`),
    el('b', { class: 'wrong' }, failure ?? 'failed'),
    el('span', { class: 'about' }, `after ${count(attempts, 'attempt')}`));
}
