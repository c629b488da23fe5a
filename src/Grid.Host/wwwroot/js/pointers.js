import { byId, el, setText } from './dom.js';
import { cleanName } from './identity.js';
import { board, readColour, readPlace, writePlace } from './strokes.js';

/** At most 30 positions a second. */
const sendEveryMs = 34;
/** How often a visitor who does not move says that they are there. */
const presenceEveryMs = 4_000;
const fadeAfterMs = 3_000;
const goneAfterMs = 11_000;
const maxPeople = 60;
const shownPeople = 5;

/**
 * The other people: their pointers and who is here. All of it is fleeting: published without asking for an answer, on a channel
 * that keeps nothing, and simply not sent while there is no connection.
 */
export class Pointers {
  #link;
  #channel;
  #identity;
  #layer = byId('pointers');
  #list = byId('people');
  #people = new Map();
  #place;
  #down = false;
  #sentAt = 0;
  #timer;
  #listed = '';

  /** What shows a line while it is drawn: `(tab, colour, place, down)`. */
  onTrail = () => undefined;

  constructor(link, room, identity) {
    this.#link = link;
    this.#channel = `pointer:${room}`;
    this.#identity = identity;
    setInterval(() => this.#tick(), 1_000);
    addEventListener('pagehide', () => this.#publish({ bye: 1 }));
    link.addEventListener('well', () => this.#publish(this.#where()));
    this.#showPeople();
  }

  follow() {
    this.#link.follow(this.#channel, { durable: false, from: 'now', onMessage: ({ data }) => this.#receive(data) });
  }

  /** The visitor's pointer is there now; undefined: not on the board. */
  move(place, down) {
    // What marks the start or the end of a line must not be thinned out.
    const urgent = down !== this.#down || place === undefined;
    this.#place = place;
    this.#down = down;
    const wait = this.#sentAt + sendEveryMs - performance.now();
    if (urgent || wait <= 0) {
      this.#send();
    } else {
      this.#timer ??= setTimeout(() => this.#send(), wait);
    }
  }

  /** Tells the others at once, for example a new name. */
  announce() {
    this.#send();
    this.#showPeople();
  }

  #send() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#publish(this.#where());
  }

  #where() {
    return this.#place === undefined ? {} : { ...writePlace(this.#place), d: this.#down ? 1 : 0 };
  }

  #publish(fields) {
    this.#sentAt = performance.now();
    const { id, name, colour } = this.#identity;
    this.#link.publishFleeting(this.#channel, { i: id, n: name, c: colour, ...fields });
  }

  #receive(data) {
    const tab = data?.i;
    if (typeof tab !== 'string' || tab.length > 40 || tab === this.#identity.id) {
      return;
    }
    if (data.bye === 1) {
      this.#remove(tab);
      return;
    }
    let person = this.#people.get(tab);
    if (person === undefined) {
      if (this.#people.size >= maxPeople) {
        return;
      }
      const label = el('span', { class: 'tag' });
      person = { node: el('div', { class: 'pointer', 'data-testid': 'pointer' }, el('i', {}), label), label };
      this.#people.set(tab, person);
      this.#layer.append(person.node);
      // So that the newcomer sees this tab without waiting for its next sign of life.
      this.#publish(this.#where());
    }
    person.name = cleanName(data.n) || 'Somebody';
    person.colour = readColour(data.c);
    person.seen = performance.now();
    setText(person.label, person.name);
    this.#put(person, readPlace(data));
    this.onTrail(tab, person.colour, readPlace(data), data.d === 1);
    this.#showPeople();
  }

  #put(person, place) {
    person.node.className = `pointer ink-${person.colour}`;
    person.node.hidden = place === undefined;
    if (place !== undefined) {
      // In per cent of the layer, so that a change of size needs no work here.
      person.node.style.left = `${(place.x / board.width) * 100}%`;
      person.node.style.top = `${(place.y / board.height) * 100}%`;
      person.node.classList.toggle('flip', place.x > board.width * 0.8);
      const key = `${place.x},${place.y}`;
      if (key !== person.key) {
        person.key = key;
        person.movedAt = person.seen;
      }
      person.node.classList.toggle('idle', person.seen - person.movedAt > fadeAfterMs);
    }
  }

  #tick() {
    const now = performance.now();
    for (const [tab, person] of this.#people) {
      // While this tab hears nothing at all, silence says nothing about the others.
      if (this.#link.state !== 'connected') {
        person.seen = now;
      }
      if (now - person.seen > goneAfterMs) {
        this.#remove(tab);
      } else if (now - person.movedAt > fadeAfterMs) {
        person.node.classList.add('idle');
      }
    }
    if (now - this.#sentAt >= presenceEveryMs) {
      this.#publish(this.#where());
    }
  }

  #remove(tab) {
    this.#people.get(tab)?.node.remove();
    this.#people.delete(tab);
    this.onTrail(tab, 0, undefined, false);
    this.#showPeople();
  }

  #showPeople() {
    const others = [...this.#people.values()];
    const signature = JSON.stringify([this.#identity.name, this.#identity.colour, ...others.map(({ name, colour }) => [name, colour])]);
    if (signature === this.#listed) {
      return;
    }
    this.#listed = signature;
    const chip = (name, colour, you) => el('li', { class: `person ink-${colour}` }, el('i', {}), el('bdi', {}, name), you ? '(you)' : '');
    const chips = [chip(this.#identity.name, this.#identity.colour, true)];
    for (const { name, colour } of others.slice(0, shownPeople)) {
      chips.push(chip(name, colour, false));
    }
    if (others.length > shownPeople) {
      chips.push(el('li', { class: 'person' }, `+${others.length - shownPeople}`));
    }
    this.#list.dataset.count = String(others.length + 1);
    this.#list.replaceChildren(...chips);
  }
}
