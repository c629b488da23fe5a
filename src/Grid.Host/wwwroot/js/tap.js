/**
 * Sockets that this page can break. The client gets these in place of the browser's own, so what the buttons do happens beneath
 * it: it learns of a cut or of being offline as it would of a real one, and whatever was on its way is really lost.
 */
export class Tap {
  #sockets = new Set();
  #offline = false;

  get offline() {
    return this.#offline;
  }

  /** The `webSocket` option of the client. */
  open = (url, protocols) => new TappedSocket(this, this.#sockets, url, protocols);

  /** Breaks every socket, now. */
  cut() {
    for (const socket of [...this.#sockets]) {
      socket.sever();
    }
  }

  /** Breaks every socket and lets no new one through. */
  goOffline() {
    this.#offline = true;
    this.cut();
  }

  goOnline() {
    this.#offline = false;
    for (const socket of this.#sockets) {
      socket.start();
    }
  }
}

const cutByPage = 3001;

class TappedSocket {
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;
  #sockets;
  #url;
  #protocols;
  #raw;

  constructor(tap, sockets, url, protocols) {
    this.#sockets = sockets;
    this.#url = url;
    this.#protocols = protocols;
    sockets.add(this);
    if (!tap.offline) {
      this.start();
    }
  }

  get bufferedAmount() {
    return this.#raw?.bufferedAmount ?? 0;
  }

  /** Opens the real socket. While offline an attempt hangs, as it does in a network that swallows packets. */
  start() {
    if (this.#raw !== undefined) {
      return;
    }
    const raw = new WebSocket(this.#url, this.#protocols);
    this.#raw = raw;
    raw.onopen = (event) => this.onopen?.(event);
    raw.onmessage = (event) => this.onmessage?.(event);
    raw.onerror = (event) => this.onerror?.(event);
    raw.onclose = (event) => {
      this.#sockets.delete(this);
      this.onclose?.(event);
    };
  }

  send(data) {
    this.#raw?.send(data);
  }

  close(code, reason) {
    if (this.#raw === undefined) {
      this.sever();
    } else {
      this.#raw.close(code, reason);
    }
  }

  /** The connection is lost: nothing that was on its way arrives, in either direction, and there is no goodbye. */
  sever() {
    this.#sockets.delete(this);
    const raw = this.#raw;
    if (raw !== undefined) {
      raw.onopen = raw.onmessage = raw.onerror = raw.onclose = null;
      raw.close(cutByPage, 'cut by the visitor');
    }
    queueMicrotask(() => this.onclose?.({ code: 1006, reason: '' }));
  }
}
