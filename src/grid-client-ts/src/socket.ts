/**
 * What the client needs of a WebSocket. The browser's own and those of common Node packages satisfy it.
 */
export interface WebSocketLike {
  /** Bytes accepted by `send` and not yet on the network. */
  readonly bufferedAmount: number;
  /** Set to `arraybuffer` for the binary codec. */
  binaryType?: string;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: string | Uint8Array): void;
  close(code?: number, reason?: string): void;
  /** Ends the socket without a closing handshake, where the implementation can. */
  terminate?(): void;
}

/** Opens a WebSocket. */
export type WebSocketFactory = (url: string, protocols: string[]) => WebSocketLike;

/** The platform's WebSocket, if it has one. */
export function platformWebSocket(): WebSocketFactory | undefined {
  const Implementation = (globalThis as { WebSocket?: new (url: string, protocols: string[]) => WebSocketLike }).WebSocket;
  return Implementation === undefined ? undefined : (url, protocols) => new Implementation(url, protocols);
}
