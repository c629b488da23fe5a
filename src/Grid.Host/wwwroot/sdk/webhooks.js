import { fromBase64 } from './base64.js';
/** A request is not a delivery of Grid, or not one of now: answer 400 or 401. Decide by the code; the message is for people. */
export class WebhookError extends Error {
    /** Why. */
    code;
    constructor(code, message) {
        super(message);
        this.name = 'WebhookError';
        this.code = code;
    }
}
/** The most signatures of a request that are looked at; a sender has no reason for more. */
const maxSignatures = 32;
const hmacLength = 32;
const ed25519KeyLength = 32;
const ed25519Length = 64;
/**
 * Tells deliveries of Grid from forgeries, by the Standard Webhooks specification; it works for other senders that follow it as well.
 * Rejects with a {@link WebhookError} when the request is none.
 *
 * @param body The body as it came, byte for byte: read it before anything parses it. A string is taken as its UTF-8.
 * @param headers The request's headers.
 * @param secrets What the endpoint's signatures may be made with: secrets (`whsec_…`) and public keys (`whpk_…`). One right signature
 * of any of them is enough, so that during a rotation the old and the new one can both be given.
 * @param options How to check.
 */
export async function verifyWebhook(body, headers, secrets, options = {}) {
    const keys = await Promise.all((typeof secrets === 'string' ? [secrets] : secrets).map(readSecret));
    if (keys.length === 0) {
        throw new WebhookError('bad_secret', 'a secret is needed');
    }
    const id = header(headers, 'webhook-id');
    const timestamp = header(headers, 'webhook-timestamp');
    const signatures = header(headers, 'webhook-signature');
    const sentAt = checkTime(timestamp, options);
    // A full stop in the id would let a part of the id be read as the timestamp.
    if (id.includes('.') || !await hasMatch(signatures, signedText(`${id}.${timestamp}.`, body), keys)) {
        throw new WebhookError('no_matching_signature', 'no signature of the request is of one of the secrets');
    }
    return { id, sentAt };
}
function header(headers, name) {
    const value = typeof headers.get === 'function' ? headers.get(name) : ofRecord(headers, name);
    if (typeof value !== 'string' || value === '') {
        throw new WebhookError('missing_header', `the header ${name} is missing, or given more than once`);
    }
    return value;
}
function ofRecord(headers, name) {
    const values = Object.keys(headers).filter((key) => key.toLowerCase() === name).flatMap((key) => headers[key]);
    return values.length === 1 ? values[0] : undefined;
}
function checkTime(timestamp, options) {
    const seconds = /^\d{1,12}$/.test(timestamp) ? Number(timestamp) : NaN;
    if (Number.isNaN(seconds)) {
        throw new WebhookError('malformed_timestamp', 'the header webhook-timestamp is no number of seconds');
    }
    // In whole seconds on both sides: the timestamp has no fraction, so the time of signing has lost its own.
    const age = Math.floor((options.now ?? Date.now)() / 1000) - seconds;
    const tolerance = options.toleranceSeconds ?? 300;
    // Written so that a tolerance that is no number lets nothing pass.
    if (!(age <= tolerance)) {
        throw new WebhookError('too_old', 'the request was signed too long ago');
    }
    if (!(-age <= tolerance)) {
        throw new WebhookError('too_new', 'the request was signed in the future');
    }
    return new Date(seconds * 1000);
}
function signedText(prefix, body) {
    const encoder = new TextEncoder();
    const start = encoder.encode(prefix);
    const rest = typeof body === 'string' ? encoder.encode(body) : new Uint8Array(body);
    const text = new Uint8Array(start.length + rest.length);
    text.set(start);
    text.set(rest, start.length);
    return text;
}
async function hasMatch(signatures, text, secrets) {
    const entries = signatures.split(' ', maxSignatures * 4).filter((entry) => entry !== '').slice(0, maxSignatures);
    for (const entry of entries) {
        const comma = entry.indexOf(',');
        const signature = bytesOf(entry.slice(comma + 1));
        for (const secret of secrets) {
            if (entry.slice(0, comma) === secret.version && signature?.length === secret.length && await secret.verify(signature, text)) {
                return true;
            }
        }
    }
    return false;
}
async function readSecret(secret) {
    const bytes = bytesOf(secret.slice(secret.indexOf('_') + 1));
    // Node's and the browser's own verify() compares in constant time.
    if (secret.startsWith('whsec_') && bytes !== undefined && bytes.length >= 24 && bytes.length <= 64) {
        const key = await crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
        return { version: 'v1', length: hmacLength, verify: (signature, text) => crypto.subtle.verify('HMAC', key, signature, text) };
    }
    if (secret.startsWith('whpk_') && bytes?.length === ed25519KeyLength) {
        const key = await crypto.subtle.importKey('raw', bytes, { name: 'Ed25519' }, false, ['verify']);
        return { version: 'v1a', length: ed25519Length, verify: (signature, text) => crypto.subtle.verify('Ed25519', key, signature, text) };
    }
    throw new WebhookError('bad_secret', 'a secret is whsec_ and 24 to 64 bytes in base64, or whpk_ and the 32 bytes of an Ed25519 public key');
}
function bytesOf(base64) {
    try {
        return new Uint8Array(fromBase64(base64));
    }
    catch {
        return undefined;
    }
}
