// An in-process server that speaks the wire contract, and can be told to misbehave.
import type { AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { clientFrameOf, serverFrameOf } from './proto-frames.js';

export interface ClientFrame {
  type: string;
  id?: number;
  [field: string]: any;
}

interface StoredMessage {
  offset: number;
  at: number;
  data?: unknown;
  data64?: string;
  key?: string;
  event?: string;
}

export class FakeChannel {
  epoch = 'e1';
  /** The offset before the oldest message kept. */
  trimmed = 0;
  head = 0;
  readonly messages = new Map<number, StoredMessage>();
  readonly keys = new Map<string, number>();

  append(fields: Pick<StoredMessage, 'data' | 'data64' | 'key' | 'event'>): { offset: number; duplicate: boolean } {
    const first = fields.key === undefined ? undefined : this.keys.get(fields.key);
    if (first !== undefined) {
      return { offset: first, duplicate: true };
    }
    const offset = ++this.head;
    this.messages.set(offset, { offset, at: 1_795_452_674_123, ...fields });
    if (fields.key !== undefined) {
      this.keys.set(fields.key, offset);
    }
    return { offset, duplicate: false };
  }

  trim(upTo: number): void {
    for (; this.trimmed < upTo; this.trimmed++) {
      this.messages.delete(this.trimmed + 1);
    }
  }

  purge(epoch: string): void {
    this.messages.clear();
    this.keys.clear();
    this.epoch = epoch;
    this.head = 0;
    this.trimmed = 0;
  }
}

interface Session {
  id: string;
  token: string;
  cursors: Map<string, { epoch: string; offset: number }>;
}

export class FakeConnection {
  session: Session | undefined;
  token: string | undefined;
  hello: ClientFrame | undefined;
  closed = false;
  /** Sent up to here, by channel. */
  readonly sent = new Map<string, number>();
  /** Nothing more is sent or read: the network is gone, and neither side knows. */
  deaf = false;

  constructor(readonly server: FakeServer, readonly socket: WebSocket, readonly number: number) {}

  /** Whether the frames of this connection are Protocol Buffers. */
  get binary(): boolean {
    return this.socket.protocol === 'grid.v1.proto';
  }

  send(frame: object): void {
    if (!this.deaf && !this.closed && this.server.beforeSend?.(this, frame as ClientFrame) !== false) {
      this.socket.send(this.binary ? serverFrameOf(frame as ClientFrame) : JSON.stringify(frame));
    }
  }

  sendRaw(data: string | Uint8Array): void {
    this.socket.send(data);
  }

  /** As when the network breaks: no closing handshake. */
  cut(): void {
    this.closed = true;
    this.socket.terminate();
  }

  close(code: number, reason = ''): void {
    this.closed = true;
    this.socket.close(code, reason);
  }
}

export class FakeServer {
  readonly channels = new Map<string, FakeChannel>();
  readonly sessions = new Map<string, Session>();
  readonly connections: FakeConnection[] = [];
  /** Every frame received, in order. */
  readonly received: { connection: FakeConnection; frame: ClientFrame }[] = [];
  readonly closes: { connection: FakeConnection; code: number }[] = [];
  heartbeatMs = 15_000;
  maxFrameBytes = 65_536;
  acceptToken: (token: string | undefined) => boolean = () => true;
  /** Called before a frame is handled; true means that it has been. */
  intercept: ((connection: FakeConnection, frame: ClientFrame) => boolean | void) | undefined;
  /** Called before a frame is sent; false means not to. */
  beforeSend: ((connection: FakeConnection, frame: ClientFrame) => boolean | void) | undefined;
  /** How far behind the client's own cursor a resume starts, to make duplicates. */
  resumeRewind = 0;
  /** Whether a hello closes the session's older connection; on two sockets, the client may hear of that before the welcome or after it. */
  supersedes = true;
  readonly #waiters = new Set<() => void>();
  readonly #listener: WebSocketServer;
  #sessions = 0;

  private constructor(listener: WebSocketServer) {
    this.#listener = listener;
    listener.on('connection', (socket) => this.#accept(socket));
  }

  static async start(): Promise<FakeServer> {
    const listener = new WebSocketServer({
      host: '127.0.0.1', port: 0,
      handleProtocols: (offered) => [...offered].find((name) => name === 'grid.v1.json' || name === 'grid.v1.proto') ?? false,
    });
    await new Promise((resolve) => listener.once('listening', resolve));
    return new FakeServer(listener);
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#listener.address() as AddressInfo).port}/v1/ws`;
  }

  get last(): FakeConnection {
    return this.connections.at(-1) as FakeConnection;
  }

  async stop(): Promise<void> {
    for (const connection of this.connections) {
      connection.socket.terminate();
    }
    await new Promise((resolve) => this.#listener.close(resolve));
  }

  channel(name: string): FakeChannel {
    let channel = this.channels.get(name);
    if (channel === undefined) {
      channel = new FakeChannel();
      this.channels.set(name, channel);
    }
    return channel;
  }

  /** Publishes as a service would, and delivers. */
  publish(name: string, ...data: unknown[]): void {
    for (const item of data) {
      this.channel(name).append({ data: item });
    }
    this.deliver(name);
  }

  frames(type: string): ClientFrame[] {
    return this.received.filter(({ frame }) => frame.type === type).map(({ frame }) => frame);
  }

  /** Resolves when `condition` holds; looked at after whatever happens here. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (condition()) {
          this.#waiters.delete(look);
          resolve();
        }
      };
      this.#waiters.add(look);
      look();
    });
  }

  deliver(name: string): void {
    for (const connection of this.connections) {
      this.#pump(connection, name);
    }
  }

  #accept(socket: WebSocket): void {
    const connection = new FakeConnection(this, socket, this.connections.length + 1);
    this.connections.push(connection);
    socket.on('message', (data, isBinary) => {
      if (connection.deaf || connection.closed) {
        return;
      }
      if (isBinary !== connection.binary) {
        connection.close(4502, 'the other kind of message');
        return;
      }
      const frame = isBinary ? clientFrameOf(data as Buffer) : JSON.parse(String(data)) as ClientFrame;
      this.received.push({ connection, frame });
      if (this.intercept?.(connection, frame) !== true) {
        this.handle(connection, frame);
      }
      this.#changed();
    });
    socket.on('close', (code) => {
      connection.closed = true;
      this.closes.push({ connection, code });
      this.#changed();
    });
    socket.on('error', () => undefined);
    this.#changed();
  }

  #changed(): void {
    for (const look of [...this.#waiters]) {
      look();
    }
  }

  /** What the server does with a frame; for a test that intercepted it, and lets it through later. */
  handle(connection: FakeConnection, frame: ClientFrame): void {
    const { id, channel: name } = frame;
    switch (frame.type) {
      case 'hello':
        this.#hello(connection, frame);
        break;
      case 'subscribe':
        this.#subscribe(connection, frame);
        break;
      case 'unsubscribe': {
        const known = connection.sent.delete(name);
        connection.session?.cursors.delete(name);
        connection.send(known
          ? { type: 'unsubscribed', id, channel: name }
          : { type: 'error', id, code: 'not_subscribed', message: 'No such subscription.' });
        break;
      }
      case 'publish': {
        const channel = this.channel(name);
        if (frame.ifOffset !== undefined && frame.ifOffset !== channel.head && !channel.keys.has(frame.key)) {
          connection.send({ type: 'error', id, code: 'conflict', message: 'Another head.' });
          break;
        }
        const { data, data64, key, event } = frame;
        const { offset, duplicate } = channel.append({
          ...(data64 === undefined ? { data } : { data64 }),
          ...(key === undefined ? {} : { key }),
          ...(event === undefined ? {} : { event }),
        });
        if (id !== undefined) {
          connection.send({ type: 'published', id, channel: name, epoch: channel.epoch, offset, duplicate });
        }
        this.deliver(name);
        break;
      }
      case 'ack':
        for (const [channel, offset] of Object.entries(frame.cursors as Record<string, number>)) {
          const cursor = connection.session?.cursors.get(channel);
          if (cursor !== undefined && offset > cursor.offset) {
            cursor.offset = offset;
          }
        }
        break;
      case 'auth':
        if (this.acceptToken(frame.token)) {
          connection.token = frame.token;
          connection.send({ type: 'authorized', id, expiresAt: new Date(Date.now() + 3_600_000).toISOString() });
        } else {
          connection.send({ type: 'error', id, code: 'unauthorized', message: 'Not this token.' });
        }
        break;
      case 'ping':
        connection.send({ type: 'pong' });
        break;
    }
  }

  #hello(connection: FakeConnection, frame: ClientFrame): void {
    connection.hello = frame;
    connection.token = frame.token;
    if (!this.acceptToken(frame.token)) {
      connection.send({ type: 'error', code: 'unauthorized', message: 'Not this token.' });
      connection.close(4501, 'unauthorized');
      return;
    }
    const asked = frame.resume as { session: string; token: string; cursors?: Record<string, { epoch: string; offset: number }> } | undefined;
    let session = asked === undefined ? undefined : this.sessions.get(asked.session);
    const resumed = session !== undefined && session.token === asked?.token;
    if (session === undefined || !resumed) {
      const number = ++this.#sessions;
      session = { id: `s${number}`, token: `r${number}`, cursors: new Map() };
      this.sessions.set(session.id, session);
    }
    for (const other of this.connections) {
      if (this.supersedes && other !== connection && other.session === session && !other.closed) {
        other.close(4500, 'superseded');
      }
    }
    connection.session = session;
    if (resumed) {
      for (const [name, cursor] of Object.entries(asked?.cursors ?? {})) {
        session.cursors.set(name, { epoch: cursor.epoch, offset: Math.max(0, cursor.offset - this.resumeRewind) });
      }
    }
    const starts = [...session.cursors].map(([name, cursor]) => this.#place(name, cursor));
    connection.send({
      type: 'welcome', session: session.id, resumeToken: session.token,
      state: resumed ? 'resumed' : asked === undefined ? 'new' : 'expired',
      resumeWindowMs: 300_000, heartbeatMs: this.heartbeatMs, maxFrameBytes: this.maxFrameBytes,
      subscriptions: starts.map(({ name, channel, cursor }) => ({ channel: name, epoch: channel.epoch, head: channel.head, cursor })),
    });
    for (const start of starts) {
      this.#begin(connection, start);
    }
  }

  #subscribe(connection: FakeConnection, frame: ClientFrame): void {
    const { id, channel: name, from } = frame;
    const channel = this.channel(name);
    if (from?.epoch === channel.epoch && from.offset > channel.head) {
      connection.send({ type: 'error', id, code: 'invalid_position', message: 'After the head.' });
      return;
    }
    const start = from?.epoch !== undefined ? this.#place(name, from) : {
      name, channel,
      cursor: from === 'start' ? channel.trimmed
        : from?.last !== undefined ? Math.max(channel.trimmed, channel.head - from.last)
        : connection.sent.get(name) ?? channel.head,
    };
    connection.session?.cursors.set(name, { epoch: channel.epoch, offset: start.cursor });
    connection.send({ type: 'subscribed', id, channel: name, epoch: channel.epoch, head: channel.head, cursor: start.cursor });
    this.#begin(connection, start);
  }

  /** Where a consumer that stands at a position really starts, and the gap that this makes. */
  #place(name: string, position: { epoch: string; offset: number }): { name: string; channel: FakeChannel; cursor: number; gap?: object } {
    const channel = this.channel(name);
    const { epoch, trimmed } = channel;
    if (position.epoch !== epoch) {
      return { name, channel, cursor: trimmed, gap: { type: 'gap', channel: name, epoch, from: 1, to: trimmed, reason: 'epoch' } };
    }
    if (position.offset < trimmed) {
      const gap = { type: 'gap', channel: name, epoch, from: position.offset + 1, to: trimmed, reason: 'retention' };
      return { name, channel, cursor: trimmed, gap };
    }
    return { name, channel, cursor: position.offset };
  }

  #begin(connection: FakeConnection, start: { name: string; cursor: number; gap?: object }): void {
    if (start.gap !== undefined) {
      connection.send(start.gap);
    }
    connection.sent.set(start.name, start.cursor);
    this.#pump(connection, start.name);
  }

  #pump(connection: FakeConnection, name: string): void {
    let sent = connection.sent.get(name);
    const channel = this.channel(name);
    while (sent !== undefined && sent < channel.head && !connection.closed) {
      const message = channel.messages.get(++sent);
      connection.sent.set(name, sent);
      connection.send({ type: 'message', channel: name, ...message });
      sent = connection.sent.get(name);
    }
  }
}
