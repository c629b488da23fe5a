// A stroke as a message, and as ink. The board is 1600 by 1000 units on every screen, so a circle stays a circle.

import { cleanName, colours } from './identity.js';

export const board = { width: 1600, height: 1000 };
/** Pen widths, in board units. */
export const penWidths = [4, 9, 20];

// Points travel as whole numbers, 0 to 10,000 of the board's width and height: a fifth of a pixel on a large screen.
const scale = 10_000;
/** A stroke of this many points is about 6 KB; a longer one goes on in a second message. */
export const maxPoints = 600;

const encode = (value, size) => Math.min(scale, Math.max(0, Math.round((value / size) * scale)));
const decode = (value, size) => (value / scale) * size;
const isCoordinate = (value) => Number.isInteger(value) && value >= 0 && value <= scale;

/** @param {{x: number, y: number}[]} points in board units */
export function writeStroke(id, identity, width, points) {
  const flat = [];
  for (const { x, y } of points) {
    flat.push(encode(x, board.width), encode(y, board.height));
  }
  return { m: id, i: identity.id, n: identity.name, c: identity.colour, w: penWidths.indexOf(width), p: flat };
}

/** Reads what anybody may have published; undefined when it is no stroke. */
export function readStroke(data) {
  const flat = data?.p;
  if (!Array.isArray(flat) || flat.length < 2 || flat.length > maxPoints * 2 || flat.length % 2 !== 0 || !flat.every(isCoordinate)) {
    return undefined;
  }
  const points = [];
  for (let i = 0; i < flat.length; i += 2) {
    points.push({ x: decode(flat[i], board.width), y: decode(flat[i + 1], board.height) });
  }
  return {
    id: typeof data.m === 'string' ? data.m : '',
    tab: typeof data.i === 'string' ? data.i : '',
    name: cleanName(data.n),
    colour: readColour(data.c),
    width: penWidths[data.w] ?? penWidths[0],
    points,
  };
}

/** Any number of a message as one of the palette. */
export function readColour(value) {
  return Number.isInteger(value) && value >= 0 && value < colours ? value : 0;
}

/** A place on the board as it travels in a pointer message. */
export function writePlace({ x, y }) {
  return { x: encode(x, board.width), y: encode(y, board.height) };
}

/** The place in a pointer message; undefined when there is none. */
export function readPlace(data) {
  return isCoordinate(data?.x) && isCoordinate(data?.y)
    ? { x: decode(data.x, board.width), y: decode(data.y, board.height) }
    : undefined;
}

/** Draws points as one smooth line. The context is scaled to board units. */
export function drawInk(context, points, colour, width, alpha = 1) {
  const [first] = points;
  if (first === undefined) {
    return;
  }
  context.globalAlpha = alpha;
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineWidth = width;
  context.lineCap = 'round';
  context.lineJoin = 'round';
  context.beginPath();
  if (points.length === 1) {
    context.arc(first.x, first.y, width / 2, 0, Math.PI * 2);
    context.fill();
  } else {
    context.moveTo(first.x, first.y);
    // A curve through the middles, bent by the points themselves, takes the corners off.
    for (let i = 1; i < points.length - 1; i++) {
      const at = points[i];
      const next = points[i + 1];
      context.quadraticCurveTo(at.x, at.y, (at.x + next.x) / 2, (at.y + next.y) / 2);
    }
    const last = points[points.length - 1];
    context.lineTo(last.x, last.y);
    context.stroke();
  }
  context.globalAlpha = 1;
}
