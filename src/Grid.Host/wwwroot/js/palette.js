import { byId, el } from './dom.js';
import { colours } from './identity.js';
import { penWidths } from './strokes.js';

const colourNames = ['Ink', 'Green', 'Blue', 'Violet', 'Red', 'Orange'];
const widthNames = ['Fine', 'Medium', 'Broad'];

/** The pen's colour and width, and the colours as the theme in force shows them. */
export class Palette extends EventTarget {
  width = penWidths[1];
  #swatches = [];
  #inks = [];

  constructor(identity) {
    super();
    for (let i = 0; i < colours; i++) {
      const [label, input] = this.#option('colour', `swatch ink-${i}`, colourNames[i], identity.colour === i, () => {
        identity.colour = i;
      });
      input.dataset.testid = `colour-${i}`;
      byId('swatches').append(label);
      this.#swatches.push(label);
    }
    for (const [i, width] of penWidths.entries()) {
      const [label] = this.#option('width', `width width-${i}`, widthNames[i], width === this.width, () => {
        this.width = width;
      });
      byId('widths').append(label);
    }
    this.#read();
    document.documentElement.addEventListener('themechange', () => {
      this.#read();
      this.dispatchEvent(new Event('change'));
    });
  }

  /** A colour as a canvas takes it. */
  ink(colour) {
    return this.#inks[colour] ?? this.#inks[0];
  }

  #option(name, classes, title, checked, choose) {
    const input = el('input', { type: 'radio', name, 'aria-label': title, checked });
    input.addEventListener('change', choose);
    return [el('label', { class: classes, title }, input, el('span', {})), input];
  }

  // A custom property is read as it was written, `light-dark()` and all; the colour of an element is read as what it came to.
  #read() {
    this.#inks = this.#swatches.map((swatch) => getComputedStyle(swatch).color);
  }
}
