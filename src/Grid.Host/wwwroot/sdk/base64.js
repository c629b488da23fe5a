// btoa and atob are in every browser and in Node; Buffer is not.
const chunk = 0x8000;
/** Bytes as base64. */
export function toBase64(bytes) {
    let binary = '';
    for (let start = 0; start < bytes.length; start += chunk) {
        binary += String.fromCharCode(...bytes.subarray(start, start + chunk));
    }
    return btoa(binary);
}
/** Bytes from base64; throws when it is none. */
export function fromBase64(text) {
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) {
        bytes[i] = binary.charCodeAt(i);
    }
    return bytes;
}
