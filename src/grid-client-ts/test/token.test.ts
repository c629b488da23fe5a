import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GridError, type TokenReason } from '@grid/client';
import { Collector, ManualClock, clientOf, connected, entered, jwt, serve } from './support.js';

test('a token that is about to expire is replaced in band', async (t) => {
  const server = await serve(t);
  server.heartbeatMs = 100_000_000;
  const clock = new ManualClock();
  const reasons: TokenReason[] = [];
  let minted = 0;
  const tokenProvider = async (reason: TokenReason): Promise<string> => {
    reasons.push(reason);
    const iat = clock.now() / 1_000;
    return jwt({ n: ++minted, iat, exp: iat + 600 });
  };
  const client = await connected(t, server, { clock, tokenProvider });
  const authorized = new Collector<unknown>();
  client.on('frame', ({ text }) => text.includes('"type":"authorized"') && authorized.add(text));
  clock.advance(539_999);
  assert.deepEqual(reasons, ['connect']);
  clock.advance(1);
  await authorized.count(1);
  assert.notEqual(server.last.token, server.frames('hello')[0]?.token);
  // And again, for the token after that.
  clock.advance(540_000);
  await authorized.count(2);
  assert.deepEqual(reasons, ['connect', 'refresh', 'refresh']);
  assert.equal(server.connections.length, 1);
});

test('the token held serves a reconnect while it is good', async (t) => {
  const server = await serve(t);
  const reasons: TokenReason[] = [];
  const client = await connected(t, server, {
    tokenProvider: (reason) => {
      reasons.push(reason);
      return jwt({ exp: Math.floor(Date.now() / 1_000) + 3_600 });
    },
  });
  const back = entered(client, 'connected');
  server.last.cut();
  await back;
  assert.deepEqual(reasons, ['connect']);
});

test('refused with a provider: one new token, one more attempt', async (t) => {
  const server = await serve(t);
  server.acceptToken = (token) => token === 'good';
  const reasons: TokenReason[] = [];
  const client = clientOf(t, server, {
    token: 'stale',
    tokenProvider: (reason) => {
      reasons.push(reason);
      return 'good';
    },
  });
  await client.connect();
  assert.deepEqual(reasons, ['unauthorized']);
  assert.deepEqual(server.frames('hello').map(({ token }) => token), ['stale', 'good']);
});

test('refused twice: closed', async (t) => {
  const server = await serve(t);
  server.acceptToken = () => false;
  let minted = 0;
  const client = clientOf(t, server, { tokenProvider: () => `t${++minted}` });
  await assert.rejects(client.connect(), { code: 'unauthorized', closeCode: 4501 });
  assert.equal(server.connections.length, 2);
  assert.equal(client.state, 'closed');
});

test('refused without a provider: closed at once', async (t) => {
  const server = await serve(t);
  server.acceptToken = () => false;
  const client = clientOf(t, server, { token: 'stale' });
  await assert.rejects(client.connect(), { code: 'unauthorized', closeCode: 4501 });
  assert.equal(server.connections.length, 1);
});

test('expired in the middle of a session: resumes with a new token', async (t) => {
  const server = await serve(t);
  let minted = 0;
  const client = await connected(t, server, { tokenProvider: () => `t${++minted}` });
  const back = entered(client, 'connected');
  server.last.close(4501);
  await back;
  assert.deepEqual(server.frames('hello').map(({ token, resume }) => [token, resume?.session]), [['t1', undefined], ['t2', 's1']]);
});

test('the word that the token is about to be useless brings a new one', async (t) => {
  const server = await serve(t);
  let minted = 0;
  await connected(t, server, { tokenProvider: () => `t${++minted}` });
  server.last.send({ type: 'error', code: 'unauthorized', message: 'Expires soon.' });
  await server.until(() => server.last.token === 't2');
  assert.equal(server.connections.length, 1);
});

test('a refused refresh is tried again, with the connection kept', async (t) => {
  const server = await serve(t);
  const clock = new ManualClock();
  let minted = 0;
  const client = await connected(t, server, { clock, tokenProvider: () => `t${++minted}` });
  server.acceptToken = (token) => token === 't3';
  const refused = new Promise((resolve) => client.on('error', (error) => error.code === 'unauthorized' && minted === 2 && resolve(error)));
  server.last.send({ type: 'error', code: 'unauthorized', message: 'Expires soon.' });
  await server.until(() => server.frames('auth').length === 1);
  await refused;
  await clock.armed(5_000);
  clock.advance(5_000);
  await server.until(() => server.last.token === 't3');
  assert.equal(server.connections.length, 1);
});

test('a provider that fails is asked again; one that says unauthorized is believed', async (t) => {
  const server = await serve(t);
  let asked = 0;
  const codes: string[] = [];
  const patient = clientOf(t, server, {
    tokenProvider: async () => {
      if (++asked < 3) {
        throw new Error('offline');
      }
      return 'token';
    },
  });
  patient.on('error', ({ code }) => codes.push(code));
  await patient.connect();
  assert.deepEqual(codes, ['token_provider', 'token_provider']);

  const signedOut = clientOf(t, server, {
    tokenProvider: async () => {
      throw new GridError('unauthorized', 'Signed out.');
    },
  });
  await assert.rejects(signedOut.connect(), { code: 'unauthorized', message: 'Signed out.' });
  assert.equal(signedOut.state, 'closed');
});

test('a provider that hangs does not hang the client', async (t) => {
  const server = await serve(t);
  const clock = new ManualClock();
  let asked = 0;
  const client = clientOf(t, server, { clock, tokenProvider: () => (++asked === 1 ? new Promise<string>(() => undefined) : 'token') });
  const failed = new Promise((resolve) => client.on('error', resolve));
  const up = client.connect();
  await clock.armed(30_000);
  clock.advance(30_000);
  assert.equal(((await failed) as GridError).code, 'token_provider');
  clock.advance(0);
  await up;
});

test('tokens do not show in frames', async (t) => {
  const server = await serve(t);
  const client = clientOf(t, server, { token: 'very-secret' });
  const shown: string[] = [];
  client.on('frame', ({ direction, text }) => shown.push(`${direction} ${text}`));
  await client.connect();
  const back = entered(client, 'connected');
  server.last.cut();
  await back;
  assert.equal(shown.length, 4);
  assert.ok(shown.every((text) => !text.includes('very-secret') && !text.includes('"r1"')));
});
