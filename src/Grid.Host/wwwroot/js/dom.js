/** The element with an id; a missing one is a mistake in index.html and found at once. */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) {
    throw new Error(`index.html has no #${id}`);
  }
  return element;
}

/**
 * Makes an element. Text, also that of other people, only ever becomes a text node.
 * @param {string} tag
 * @param {{[name: string]: string | number | boolean | undefined}} attributes `class`, `data-…`, `title`, …
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

/** Sets the text only when it differs, so that a screen reader does not hear it again. */
export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

const timeFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

/** The time of day, to the second. */
export function timeOfDay(ms) {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? '' : timeFormat.format(date);
}

/** "84 ms", "1.2 s", "34 s". */
export function duration(ms) {
  return ms < 1000 ? `${Math.max(1, Math.round(ms))} ms` : ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

/** "1 message", "3 messages". */
export function count(n, noun) {
  return `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`;
}
