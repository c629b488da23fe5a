// Who this tab is, and in which room.

/** How many colours css/base.css defines as `--ink-N`. */
export const colours = 6;

const nameKey = 'grid.playground.name';
const adjectives = ['Amber', 'Brisk', 'Calm', 'Clever', 'Gentle', 'Lucid', 'Merry', 'Nimble', 'Quiet', 'Steady', 'Sunny', 'Swift'];
const animals = ['Badger', 'Crane', 'Falcon', 'Gecko', 'Heron', 'Ibex', 'Lynx', 'Marten', 'Otter', 'Robin', 'Stoat', 'Wren'];
const pick = (list) => list[Math.floor(Math.random() * list.length)];

/** A random id of 12 characters. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_');
}

/** What may stand for a name: no control or direction characters, which could garble the page around it; at most 24 long. */
export function cleanName(text) {
  return String(text ?? '').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '').replace(/\s+/g, ' ').trim().slice(0, 24);
}

/** What may stand for a room: it becomes part of a channel name. */
export function cleanRoom(text) {
  return String(text ?? '').trim().replace(/\s+/g, '-').replace(/[^A-Za-z0-9_.~@-]/g, '').slice(0, 64);
}

/** The room in the address: `#name` or `?room=name`. */
export function roomOfAddress() {
  let hash = '';
  try {
    hash = decodeURIComponent(location.hash.slice(1));
  } catch {
    // A stray percent sign: as good as none.
  }
  return cleanRoom(hash.replace(/^room=/, '')) || cleanRoom(new URLSearchParams(location.search).get('room')) || 'lobby';
}

export class Identity {
  /** Of this page alone: a duplicated tab copies the session storage, and must still be somebody else. */
  id = randomId();
  colour = Math.floor(Math.random() * colours);
  #name;

  constructor() {
    try {
      this.#name = cleanName(sessionStorage.getItem(nameKey));
    } catch {
      // Storage is off: the name lasts as long as the page.
    }
    this.name = this.#name || `${pick(adjectives)} ${pick(animals)}`;
  }

  get name() {
    return this.#name;
  }

  set name(name) {
    this.#name = cleanName(name) || this.#name;
    try {
      sessionStorage.setItem(nameKey, this.#name);
    } catch {
      // As above.
    }
  }
}
