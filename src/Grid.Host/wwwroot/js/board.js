import { byId } from './dom.js';
import { randomId } from './identity.js';
import { Pen } from './pen.js';
import { board, drawInk, readStroke, writeStroke } from './strokes.js';

/** The most strokes kept in memory for redrawing; the oldest go first. */
const maxStrokes = 5_000;
/** How long the provisional line of somebody's moving pen stays when their stroke does not come, in milliseconds. */
const trailMs = 4_000;
const maxTrails = 30;
const maxTrailPoints = 400;

/**
 * The shared board. Two layers: what the channel has confirmed, drawn once; and above it what is under way, drawn anew each
 * time: the visitor's line, their strokes that wait for the server, and other people's moving pens.
 */
export class Board {
  #link;
  #channel;
  #identity;
  #palette;
  #base = byId('board');
  #ink = byId('ink');
  #strokes = [];
  /** Published, not yet seen in the channel. */
  #pending = new Map();
  /** Other people's lines before they are strokes, by tab. */
  #trails = new Map();
  #pen;
  #frame = 0;

  constructor(link, room, identity, palette) {
    this.#link = link;
    this.#channel = `board:${room}`;
    this.#identity = identity;
    this.#palette = palette;
    this.#pen = new Pen(this.#base, {
      width: () => palette.width,
      stroke: (points) => this.#publish(points),
      changed: () => this.#refresh(),
    });
    new ResizeObserver(() => this.#resize()).observe(byId('sheet'));
    palette.addEventListener('change', () => this.#redraw());
    byId('clear').addEventListener('click', () => this.#publishClear());
  }

  /** What follows the visitor's pen, for the pointer channel: `move(place, down)`. */
  set onMove(listener) {
    this.#pen.onMove = listener;
  }

  /** Subscribes. A new tab sees the whole drawing: it starts at the start. */
  follow() {
    this.#link.follow(this.#channel, {
      durable: true,
      from: 'start',
      onMessage: (message) => this.#receive(message),
      onGap: (gap) => {
        if (gap.reason === 'epoch') {
          // The channel began anew: what was drawn in the old epoch is not part of it.
          this.#wipe();
        }
      },
    });
  }

  /** Somebody else's pen moved: shows their line before the stroke that replaces it. */
  trail(tab, colour, place, down) {
    let trail = this.#trails.get(tab);
    if (!down || place === undefined) {
      if (trail !== undefined) {
        trail.open = false;
      }
      return;
    }
    if (trail === undefined || !trail.open) {
      if (this.#trails.size >= maxTrails) {
        return;
      }
      trail = { points: [], open: true, colour, seen: 0 };
      this.#trails.set(tab, trail);
    }
    if (trail.points.length < maxTrailPoints) {
      trail.points.push(place);
    }
    trail.colour = colour;
    byId('board-hint').hidden = true;
    trail.seen = performance.now();
    this.#refresh();
    setTimeout(() => this.#refresh(), trailMs + 50);
  }

  #publish(points) {
    const id = randomId();
    const data = writeStroke(id, this.#identity, this.#palette.width, points);
    this.#pending.set(id, readStroke(data));
    this.#counts();
    this.#refresh();
    byId('board-hint').hidden = true;
    // The stroke's own id is the key: however often it is sent, it is stored once.
    this.#link.publish(this.#channel, data, { key: id, event: 'board.stroke' }).catch((error) => {
      this.#pending.delete(id);
      this.#counts();
      this.#refresh();
      this.#fail(error);
    });
  }

  #publishClear() {
    this.#link.publish(this.#channel, { m: randomId(), i: this.#identity.id, n: this.#identity.name }, { event: 'board.clear' })
      .catch((error) => this.#fail(error));
  }

  #fail(error) {
    this.#link.dispatchEvent(new CustomEvent('problem', {
      detail: { kind: error.code, message: `The board could not be changed: ${error.message}` },
    }));
  }

  #receive({ event, data }) {
    if (event === 'board.clear') {
      this.#wipe();
      return;
    }
    const stroke = readStroke(data);
    if (stroke === undefined) {
      return;
    }
    this.#pending.delete(stroke.id);
    this.#trails.delete(stroke.tab);
    this.#strokes.push(stroke);
    byId('board-hint').hidden = true;
    if (this.#strokes.length > maxStrokes) {
      // In one go, so that not every later stroke draws everything again.
      this.#strokes.splice(0, maxStrokes / 10);
      this.#redraw();
    } else {
      this.#draw(this.#base.getContext('2d'), stroke);
    }
    this.#counts();
    this.#refresh();
  }

  #wipe() {
    this.#strokes = [];
    this.#trails.clear();
    byId('board-hint').hidden = false;
    this.#counts();
    this.#redraw();
  }

  #counts() {
    this.#base.dataset.strokes = String(this.#strokes.length);
    this.#base.dataset.pending = String(this.#pending.size);
  }

  #resize() {
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    const width = Math.round(this.#base.clientWidth * ratio);
    const height = Math.round(this.#base.clientHeight * ratio);
    if (width === 0 || (this.#base.width === width && this.#base.height === height)) {
      return;
    }
    for (const canvas of [this.#base, this.#ink]) {
      canvas.width = width;
      canvas.height = height;
      canvas.getContext('2d').setTransform(width / board.width, 0, 0, height / board.height, 0, 0);
    }
    this.#redraw();
  }

  #redraw() {
    const context = this.#base.getContext('2d');
    context.clearRect(0, 0, board.width, board.height);
    for (const stroke of this.#strokes) {
      this.#draw(context, stroke);
    }
    this.#refresh();
  }

  #draw(context, { points, colour, width }, alpha) {
    drawInk(context, points, this.#palette.ink(colour), width, alpha);
  }

  /** Draws the upper layer at the next frame. */
  #refresh() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      const context = this.#ink.getContext('2d');
      context.clearRect(0, 0, board.width, board.height);
      for (const stroke of this.#pending.values()) {
        this.#draw(context, stroke, 0.45);
      }
      const now = performance.now();
      for (const [tab, trail] of this.#trails) {
        if (now - trail.seen > trailMs) {
          this.#trails.delete(tab);
        } else {
          this.#draw(context, { ...trail, width: 4 }, 0.35);
        }
      }
      this.#draw(context, { points: this.#pen.points, colour: this.#identity.colour, width: this.#palette.width });
      this.#pen.drawCaret(context, this.#palette.ink(this.#identity.colour));
    });
  }
}
