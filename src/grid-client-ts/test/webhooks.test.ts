import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { test } from 'node:test';
import { verifyWebhook, WebhookError, type WebhookErrorCode, type WebhookHeaders } from '@grid/client/webhooks';
import { verifyWebhook as ofTheIndex } from '@grid/client';
import { Webhook } from 'standardwebhooks';
import { seeded } from './support.js';

const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek';
const at = 1_614_265_330;
const body = '{"test": 2432232314}';
const vectorSecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const vectorSignature = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
// Of the specification's library for Go, whose private key is "TESTSIGNINGKEYDONOTUSETHISFORANY".
const vectorEd25519 = 'v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==';
const now = () => at * 1000;

const headersOf = (signature: string, timestamp = `${at}`): Record<string, string> => ({
  'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature,
});

const refused = (code: WebhookErrorCode, check: Promise<unknown>): Promise<void> =>
  assert.rejects(check, (error) => error instanceof WebhookError && error.code === code);

function hmac(secret: string, text: string | Uint8Array): string {
  return `v1,${createHmac('sha256', Buffer.from(secret.slice(6), 'base64')).update(text).digest('base64')}`;
}

function keyPair(): { publicKey: string; sign: (text: string) => string } {
  const pair = generateKeyPairSync('ed25519');
  const raw = Buffer.from(pair.publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  return {
    publicKey: `whpk_${raw.toString('base64')}`,
    sign: (text) => `v1a,${sign(null, Buffer.from(text), pair.privateKey).toString('base64')}`,
  };
}

test('the vector of HMAC is accepted, whatever has the body and the headers', async () => {
  const bytes = new TextEncoder().encode(body);
  const padded = Buffer.concat([Buffer.from('x'), bytes]);
  const headers = headersOf(vectorSignature);
  const shapes: WebhookHeaders[] = [
    headers, new Headers(headers), Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), [value]])),
  ];
  for (const shape of shapes) {
    for (const form of [body, bytes, bytes.buffer, Buffer.from(body), padded.subarray(1)]) {
      assert.deepEqual(await verifyWebhook(form, shape, vectorSecret, { now }), { id, sentAt: new Date(at * 1000) });
    }
  }
  assert.equal(ofTheIndex, verifyWebhook);
});

test('the vector of Ed25519 is accepted', async () => {
  const seed = Buffer.from('TESTSIGNINGKEYDONOTUSETHISFORANY');
  const key = await crypto.subtle.importKey(
    'pkcs8', Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]), { name: 'Ed25519' }, true, ['sign']);
  const publicKey = Buffer.from((await crypto.subtle.exportKey('jwk', key)).x ?? '', 'base64url').toString('base64');
  await verifyWebhook(body, headersOf(vectorEd25519), `whpk_${publicKey}`, { now });
});

test('what the package standardwebhooks signs is accepted', async () => {
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const sentAt = new Date();
  const signature = new Webhook(secret).sign(id, sentAt, body);
  await verifyWebhook(body, headersOf(signature, `${Math.floor(sentAt.getTime() / 1000)}`), secret);
});

test('any tampering is refused', async () => {
  const random = seeded(11);
  const pair = keyPair();
  for (const [secret, signature] of [[vectorSecret, vectorSignature], [pair.publicKey, pair.sign(`${id}.${at}.${body}`)]] as const) {
    await verifyWebhook(body, headersOf(signature), secret, { now });
    const comma = signature.indexOf(',') + 1;
    for (let i = 0; i < 200; i++) {
      const flip = (bytes: Buffer): Buffer => {
        const place = Math.floor(random() * bytes.length);
        bytes[place] = (bytes[place] ?? 0) ^ (1 << Math.floor(random() * 7));
        return bytes;
      };
      const headers = headersOf(signature);
      let sent: Buffer = Buffer.from(body);
      switch (i % 5) {
        case 0: sent = flip(sent); break;
        case 1: sent = sent.subarray(0, Math.floor(random() * sent.length)); break;
        case 2: headers['webhook-id'] = flip(Buffer.from(id)).toString(); break;
        case 3: headers['webhook-timestamp'] = `${at + 1 + Math.floor(random() * 290)}`; break;
        default: {
          const changed = flip(Buffer.from(signature.slice(comma), 'base64'));
          headers['webhook-signature'] = signature.slice(0, comma) + changed.toString('base64');
        }
      }
      await refused('no_matching_signature', verifyWebhook(sent, headers, secret, { now }));
    }
  }
});

test('bytes can\'t be moved between id, timestamp and body', async () => {
  const headers = { ...headersOf(hmac(vectorSecret, `a.${at}.${at}.x`)), 'webhook-id': `a.${at}` };
  await refused('no_matching_signature', verifyWebhook('x', headers, vectorSecret, { now }));
});

test('a body that is no UTF-8 is checked as bytes', async () => {
  const bytes = randomBytes(1_000);
  const signature = hmac(vectorSecret, Buffer.concat([Buffer.from(`${id}.${at}.`), bytes]));
  await verifyWebhook(bytes, headersOf(signature), vectorSecret, { now });
});

test('one right signature of one of the secrets is enough', async () => {
  const other = 'v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=';
  const pair = keyPair();
  const right = pair.sign(`${id}.${at}.${body}`);
  const secrets = [`whsec_${randomBytes(24).toString('base64')}`, vectorSecret, pair.publicKey];
  for (const signature of [`${other} v2,x ${vectorSignature}`, `${vectorSignature} ${other}`, ` ${other}  ${right}`]) {
    await verifyWebhook(body, headersOf(signature), secrets, { now });
  }
});

test('what is no signature is refused', async () => {
  const pair = keyPair();
  for (const signature of ['v1', 'v1,', 'v1a,', ' ', 'v1,dawfeoifkpqwoekfpqoekf', 'v1,!!', vectorSignature.replace('v1,', 'v2,'),
    vectorSignature.replace('v1,', 'v1a,'), `${'v1,AAAA '.repeat(100)}${vectorSignature}`]) {
    await refused('no_matching_signature', verifyWebhook(body, headersOf(signature), [vectorSecret, pair.publicKey], { now }));
  }
});

test('the time of signing is within the tolerance', async () => {
  const headers = headersOf(vectorSignature);
  for (const ahead of [-300, 0, 300]) {
    await verifyWebhook(body, headers, vectorSecret, { now: () => (at + ahead) * 1000 + 999 });
  }
  await refused('too_old', verifyWebhook(body, headers, vectorSecret, { now: () => (at + 301) * 1000 }));
  await refused('too_new', verifyWebhook(body, headers, vectorSecret, { now: () => (at - 301) * 1000 }));
  await refused('too_old', verifyWebhook(body, headers, vectorSecret, { now: () => (at + 11) * 1000, toleranceSeconds: 10 }));
  await refused('too_old', verifyWebhook(body, headers, vectorSecret, { now, toleranceSeconds: NaN }));
  await refused('too_old', verifyWebhook(body, headers, vectorSecret));
});

test('missing and repeated headers are told', async () => {
  for (const name of Object.keys(headersOf(''))) {
    for (const value of [undefined, '', ['a', 'b']]) {
      await refused('missing_header', verifyWebhook(body, { ...headersOf(vectorSignature), [name]: value }, vectorSecret, { now }));
    }
  }
  await refused('missing_header', verifyWebhook(body, new Headers(), vectorSecret, { now }));
  await refused('missing_header', verifyWebhook(body, { ...headersOf(vectorSignature), 'Webhook-Id': 'other' }, vectorSecret, { now }));
});

test('a timestamp is whole seconds', async () => {
  for (const timestamp of ['hello', '-1', '+1', ' 1614265330', '1614265330.0', '1e9', '0x10', '9999999999999']) {
    await refused('malformed_timestamp', verifyWebhook(body, headersOf(vectorSignature, timestamp), vectorSecret, { now }));
  }
});

test('what is no secret is refused without being quoted', async () => {
  for (const secret of ['', 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa', 'whsec_!',
    'whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=', 'whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']) {
    await assert.rejects(verifyWebhook(body, headersOf(vectorSignature), secret, { now }),
      (error) => error instanceof WebhookError && error.code === 'bad_secret' && !/MfKQ|VEVT/.test(error.message));
  }
  await refused('bad_secret', verifyWebhook(body, headersOf(vectorSignature), [], { now }));
});
