/** The platform's WebSocket, if it has one. */
export function platformWebSocket() {
    const Implementation = globalThis.WebSocket;
    return Implementation === undefined ? undefined : (url, protocols) => new Implementation(url, protocols);
}
