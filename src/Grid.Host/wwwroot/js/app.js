/*
 * The playground's main module: makes the parts and connects them. What a test can hold on to (`data-testid`):
 *
 *   state-pill      data-state: connecting, connected, reconnecting, resumed (5 s, then connected), draining, offline, closed
 *   session-id      the session's first 8 characters; the whole id in `title`
 *   gaps, repeats, resumes, messages      counters of this tab, over the durable channels, as text; "resumed" in the pill
 *                   passes, so wait for `resumes` or `outcome` instead
 *   cursors, cursor-board, cursor-chat, cursor-pointer    the table of cursors and its cells
 *   outcome         the account of the last break; data-mood busy | good | bad, then data-resume-ms, data-caught-up,
 *                   data-gaps, data-repeats
 *   second-tab, cut, offline, kill        the buttons (second-tab is a link); kill-dialog, kill-close, watch
 *   board           the canvas; data-strokes: in the channel, data-pending: not yet; colour-0 … colour-5, swatches, clear
 *   pointers, pointer                     the layer of other people's pointers, and each of them
 *   people          who is here; data-count
 *   chat-input, chat-send, chat-list, chat-item (data-offset), chat-offset, chat-pending (not yet in the channel), chat-gap
 *   frames          the strip; data-total; each `frame` has data-type and data-direction; frames-pause, frames-pointers
 *   hooks           the webhooks panel; hook-mode, hook-make, hook (data-status, data-circuit), hook-mode, does-NAME (the receiver's
 *                   answers), hook-publish, hook-publish-many, hook-test, hook-pause, hook-disable, hook-replay, hook-remove,
 *                   hook-say, hook-attempts with hook-attempt (data-succeeded, data-offset, data-attempt), hook-received (data-accepted,
 *                   data-repeats) with hook-request, hook-events with hook-event (data-event), hook-dead with hook-dead-letter, hook-redrive
 *   room, nickname, theme, banner (data-kind)
 */
import { Board } from './board.js';
import { Breaker } from './breaker.js';
import { Chat } from './chat.js';
import { byId } from './dom.js';
import { Frames } from './frames.js';
import { Hooks } from './hooks.js';
import { cleanRoom, Identity, roomOfAddress } from './identity.js';
import { KillDialog } from './kill.js';
import { Link } from './link.js';
import { Palette } from './palette.js';
import { Pointers } from './pointers.js';
import { Banner, Status } from './status.js';

const room = roomOfAddress();
const identity = new Identity();
const link = new Link();
const banner = new Banner(link);
new Status(link);
new Frames(link);
new KillDialog(new Breaker(link));

const palette = new Palette(identity);
const board = new Board(link, room, identity, palette);
const chat = new Chat(link, room, identity);
const hooks = new Hooks(link, room);
const pointers = new Pointers(link, room, identity);
board.onMove = (place, down) => pointers.move(place, down);
pointers.onTrail = (tab, colour, place, down) => board.trail(tab, colour, place, down);
byId('swatches').addEventListener('change', () => pointers.announce());

showRoom();
showNickname();
start();

async function start() {
  try {
    await link.load();
  } catch (error) {
    banner.show({ kind: error.kind ?? 'other', message: error.message });
    return;
  }
  board.follow();
  chat.follow();
  pointers.follow();
  hooks.follow();
  link.connect();
}

function showRoom() {
  document.title = `${room} · Grid playground`;
  byId('room').value = room;
  byId('second-tab').href = `${location.pathname}#${room}`;
  byId('room-form').addEventListener('submit', (event) => {
    event.preventDefault();
    byId('room').blur();
  });
  byId('room').addEventListener('change', () => {
    const next = cleanRoom(byId('room').value) || room;
    byId('room').value = next;
    if (next !== room) {
      location.hash = next;
    }
  });
  // Another room is another set of channels: a fresh page is the simplest honest way there.
  addEventListener('hashchange', () => roomOfAddress() !== room && location.reload());
}

function showNickname() {
  const input = byId('nickname');
  input.value = identity.name;
  input.addEventListener('change', () => {
    identity.name = input.value;
    input.value = identity.name;
    pointers.announce();
  });
  input.addEventListener('keydown', (event) => event.key === 'Enter' && input.blur());
}
