import { board, maxPoints } from './strokes.js';

/** How far the pen must move for another point, in board units. */
const minStep = 3;
const keyStep = 16;
const fastKeyStep = 80;
const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Turns mouse, touch, stylus and keyboard into strokes. One pen at a time: a second finger does not draw. */
export class Pen {
  /** The line being drawn, in board units. */
  points = [];
  onMove = () => undefined;
  #canvas;
  #events;
  #pointer;
  /** Where the keyboard's pen is; shown while the board has the keyboard's focus. */
  #caret;

  /** @param {{stroke(points: object[]): void, changed(): void}} events */
  constructor(canvas, events) {
    this.#canvas = canvas;
    this.#events = events;
    canvas.addEventListener('pointerdown', (event) => this.#down(event));
    canvas.addEventListener('pointermove', (event) => this.#move(event));
    canvas.addEventListener('pointerup', (event) => this.#up(event));
    canvas.addEventListener('pointercancel', (event) => this.#up(event));
    canvas.addEventListener('pointerleave', (event) => {
      if (this.#pointer === undefined && event.pointerType === 'mouse') {
        this.onMove(undefined, false);
      }
    });
    canvas.addEventListener('keydown', (event) => this.#key(event));
    canvas.addEventListener('blur', () => this.#endKeys());
  }

  /** Shows where the keyboard's pen is. */
  drawCaret(context, colour) {
    if (this.#caret === undefined) {
      return;
    }
    const { x, y } = this.#caret;
    context.strokeStyle = colour;
    context.lineWidth = 3;
    context.beginPath();
    context.arc(x, y, 14, 0, Math.PI * 2);
    context.moveTo(x - 26, y);
    context.lineTo(x + 26, y);
    context.moveTo(x, y - 26);
    context.lineTo(x, y + 26);
    context.stroke();
  }

  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    const clamp = (value, max) => Math.min(max, Math.max(0, value));
    return {
      x: clamp(((event.clientX - box.left) / box.width) * board.width, board.width),
      y: clamp(((event.clientY - box.top) / box.height) * board.height, board.height),
    };
  }

  #down(event) {
    if (this.#pointer !== undefined || event.button !== 0) {
      return;
    }
    this.#endKeys();
    this.#pointer = event.pointerId;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#begin(this.#place(event));
  }

  #move(event) {
    if (this.#pointer === undefined) {
      this.onMove(this.#place(event), false);
      return;
    }
    if (event.pointerId !== this.#pointer) {
      return;
    }
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length > 0 ? events : [event]) {
      this.#extend(this.#place(each));
    }
  }

  #up(event) {
    if (event.pointerId === this.#pointer) {
      this.#pointer = undefined;
      this.#finish();
      // A finger that is lifted is nowhere; a mouse still is.
      this.onMove(event.pointerType === 'mouse' ? this.#place(event) : undefined, false);
    }
  }

  #key(event) {
    const arrow = arrows[event.key];
    if (arrow !== undefined) {
      const step = event.shiftKey ? fastKeyStep : keyStep;
      const from = this.#caret ?? { x: board.width / 2, y: board.height / 2 };
      this.#caret = {
        x: Math.min(board.width, Math.max(0, from.x + arrow[0] * step)),
        y: Math.min(board.height, Math.max(0, from.y + arrow[1] * step)),
      };
      if (this.points.length > 0) {
        this.#extend(this.#caret);
      } else {
        this.onMove(this.#caret, false);
      }
    } else if (event.key === ' ') {
      if (this.points.length > 0) {
        this.#finish();
      } else {
        this.#caret ??= { x: board.width / 2, y: board.height / 2 };
        this.#begin(this.#caret);
      }
    } else {
      return;
    }
    event.preventDefault();
    this.#events.changed();
  }

  #endKeys() {
    if (this.#caret !== undefined) {
      this.#caret = undefined;
      this.#finish();
      this.onMove(undefined, false);
      this.#events.changed();
    }
  }

  #begin(place) {
    this.points = [place];
    this.onMove(place, true);
    this.#events.changed();
  }

  #extend(place) {
    const last = this.points[this.points.length - 1];
    if (Math.hypot(place.x - last.x, place.y - last.y) < minStep) {
      return;
    }
    this.points.push(place);
    this.onMove(place, true);
    if (this.points.length >= maxPoints) {
      this.#events.stroke(this.points);
      this.points = [place];
    }
    this.#events.changed();
  }

  #finish() {
    const points = this.points;
    this.points = [];
    if (points.length > 0) {
      this.#events.stroke(points);
    }
    this.#events.changed();
  }
}
