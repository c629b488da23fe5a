import { byId, setText } from './dom.js';
import { verdict } from './status.js';

const offlineMs = 10_000;

/** The buttons that break the connection, and the account of what that did. */
export class Breaker {
  #link;
  #outcome = byId('outcome');
  /** The outage under way: when it began and how the books stood. */
  #outage;
  #onlineAt = 0;
  #countdown;
  #watchers = [];

  constructor(link) {
    this.#link = link;
    byId('cut').addEventListener('click', () => this.#cut());
    byId('offline').addEventListener('click', () => (link.tap.offline ? this.#goOnline() : this.#goOffline()));
    link.addEventListener('state', () => this.#stateChanged());
    link.addEventListener('welcome', ({ detail }) => this.#welcomed(detail));
    link.addEventListener('frame', ({ detail: { direction, body } }) => {
      if (direction === 'in' && body.type === 'subscribed') {
        this.#noteHead(body);
      }
    });
    link.ledger.addEventListener('change', () => this.#check());
  }

  /** Tells somebody else of the steps of an outage: `lost`, `back`, `whole`. */
  watch(listener) {
    this.#watchers.push(listener);
  }

  #tell(step, text) {
    for (const listener of this.#watchers) {
      listener(step, text);
    }
  }

  #cut() {
    this.#begin('cut');
    this.#say('busy', 'Socket cut. The client reconnects and names the last offset it has seen…');
    this.#link.tap.cut();
  }

  #goOffline() {
    this.#begin('offline');
    this.#onlineAt = performance.now() + offlineMs;
    this.#link.tap.goOffline();
    this.#say('busy', 'Offline. Go on drawing and chatting: it waits in this tab, and the others\' messages wait on the server.');
    this.#countdown = setInterval(() => this.#tick(), 200);
    this.#tick();
  }

  #tick() {
    const left = Math.ceil((this.#onlineAt - performance.now()) / 1000);
    if (left <= 0) {
      this.#goOnline();
    } else {
      setText(byId('offline-text'), `Back in ${left} s`);
    }
  }

  #goOnline() {
    clearInterval(this.#countdown);
    setText(byId('offline-text'), 'Go offline 10\u00a0s');
    if (this.#outage !== undefined) {
      // The time offline was asked for; what counts is how long the way back takes.
      this.#outage.since = performance.now();
    }
    this.#link.tap.goOnline();
  }

  #stateChanged() {
    const { state } = this.#link;
    const usable = state === 'connected' || state === 'draining';
    byId('cut').disabled = !usable;
    byId('offline').disabled = !usable && !this.#link.tap.offline;
    if (state === 'reconnecting' && this.#outage === undefined) {
      this.#begin('lost');
      this.#say('busy', 'The connection was lost. This page keeps trying, and goes on from the last offset it has seen.');
      this.#tell('lost');
    }
    this.#check();
  }

  #begin(how) {
    // A second break within one outage belongs to it.
    this.#outage ??= {
      how,
      since: performance.now(),
      before: this.#link.ledger.totals(),
    };
  }

  #welcomed({ state, subscriptions }) {
    const outage = this.#outage;
    if (outage === undefined) {
      return;
    }
    outage.tookMs = performance.now() - outage.since;
    outage.expired = state !== 'resumed';
    outage.sent = this.#link.waiting;
    outage.caughtUp = 0;
    outage.heads = new Map();
    outage.durable = this.#link.ledger.channels.filter(({ durable }) => durable).map(({ channel }) => channel);
    for (const subscription of subscriptions ?? []) {
      this.#noteHead(subscription);
    }
    this.#tell('back', outage.expired ? 'It came back, without the session: a new one was made' : undefined);
    // The state `connected` follows, and with it the first check.
  }

  /** Where a channel ended when the connection came back: told by the welcome, or by the answer to a new subscription. */
  #noteHead({ channel, epoch, head, cursor }) {
    const outage = this.#outage;
    if (outage?.durable?.includes(channel)) {
      outage.heads.set(channel, { epoch, head });
      outage.caughtUp += Math.max(0, head - cursor);
      // After the client has worked on the frame, for there may be nothing to catch up with.
      setTimeout(() => this.#check());
    }
  }

  /** The outage is over when every channel has been read up to where the server said it ended. */
  #check() {
    const outage = this.#outage;
    if (outage?.heads === undefined || this.#link.state !== 'connected' || this.#link.waiting > 0) {
      return;
    }
    const whole = outage.durable.every((channel) => {
      const end = outage.heads.get(channel);
      const entry = this.#link.ledger.get(channel);
      return end !== undefined && entry.epoch === end.epoch && entry.cursor >= end.head;
    });
    if (!whole) {
      return;
    }
    this.#outage = undefined;
    const now = this.#link.ledger.totals();
    const result = { ...outage, gaps: now.gaps - outage.before.gaps, repeats: now.repeats - outage.before.repeats };
    const good = result.gaps === 0 && result.repeats === 0;
    this.#outcome.dataset.resumeMs = String(Math.round(result.tookMs));
    this.#outcome.dataset.caughtUp = String(result.caughtUp);
    this.#outcome.dataset.gaps = String(result.gaps);
    this.#outcome.dataset.repeats = String(result.repeats);
    this.#say(good ? 'good' : 'bad', verdict(result));
    this.#tell('whole', good ? undefined : verdict(result));
  }

  #say(mood, text) {
    this.#outcome.dataset.mood = mood;
    setText(this.#outcome, text);
  }
}
