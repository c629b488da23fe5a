import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { GridError, GridWebhooks as OfTheIndex } from '@grid/client';
import { GridWebhooks } from '@grid/client/webhook-api';

interface Asked { readonly method: string; readonly url: string; readonly body: string; readonly authorization: string | undefined }

interface Answer { readonly status?: number; readonly body?: unknown; readonly headers?: Record<string, string> }

/** A server that answers what the test says, and the client that asks it. */
async function serve(t: TestContext, answer: (asked: Asked) => Answer): Promise<{ client: GridWebhooks; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    void read(request).then((body) => {
      const one = { method: request.method ?? '', url: request.url ?? '', body, authorization: request.headers.authorization };
      asked.push(one);
      const { status = 200, body: answered, headers = {} } = answer(one);
      response.writeHead(status, headers);
      response.end(answered === undefined ? undefined : typeof answered === 'string' ? answered : JSON.stringify(answered));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { client: new GridWebhooks({ url: `http://127.0.0.1:${port}/`, apiKey: 'K' }), asked };
}

async function read(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) {
    body += String(chunk);
  }
  return body;
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = [];
  for await (const item of items) {
    list.push(item);
  }
  return list;
}

test('every call asks what the contract says', async (t) => {
  assert.equal(OfTheIndex, GridWebhooks);
  const { client, asked } = await serve(t, ({ method, url }) => (
    method === 'DELETE' && !url.includes('replays') ? { status: 204 }
      : /seek|skip|resend/.test(url) ? { status: url.includes('resend') ? 202 : 204 }
        : { body: { id: 'wh_1', secret: 'whsec_S', redriven: 3, acknowledged: 2, messages: [{ lease: 'l' }] } }));
  const positions = { orders: { epoch: 'e', offset: 7 } };
  const since = new Date('2026-01-01T12:00:00Z');
  const calls: [() => Promise<unknown>, string, unknown, unknown][] = [
    [() => client.create({ url: 'https://a/', channels: ['orders'], from: 'start' }).then((w) => w.secret), 'POST ',
      { url: 'https://a/', channels: ['orders'], from: 'start' }, 'whsec_S'],
    [() => client.get('wh_1').then((w) => w.id), 'GET /wh_1', undefined, 'wh_1'],
    [() => client.update('wh_1', { mode: 'ordered', description: null, headers: { a: null } }).then((w) => w.id), 'PATCH /wh_1',
      { mode: 'ordered', description: null, headers: { a: null } }, 'wh_1'],
    [() => client.delete('wh_1'), 'DELETE /wh_1', undefined, undefined],
    [() => client.rotateSecret('wh_1'), 'POST /wh_1/rotate-secret', {}, 'whsec_S'],
    [() => client.rotateSecret('wh_1', 60), 'POST /wh_1/rotate-secret', { overlapSeconds: 60 }, 'whsec_S'],
    [() => client.test('wh_1').then((a) => a.id), 'POST /wh_1/test', undefined, 'wh_1'],
    [() => client.pause('wh_1').then((w) => w.id), 'POST /wh_1/pause', undefined, 'wh_1'],
    [() => client.resume('wh_1').then((w) => w.id), 'POST /wh_1/resume', undefined, 'wh_1'],
    [() => client.disable('wh_1').then((w) => w.id), 'POST /wh_1/disable', undefined, 'wh_1'],
    [() => client.enable('wh_1').then((w) => w.id), 'POST /wh_1/enable', {}, 'wh_1'],
    [() => client.enable('wh_1', 'now').then((w) => w.id), 'POST /wh_1/enable', { resumeFrom: 'now' }, 'wh_1'],
    [() => client.enable('wh_1', { since }).then((w) => w.id), 'POST /wh_1/enable', { resumeFrom: { since: '2026-01-01T12:00:00.000Z' } }, 'wh_1'],
    [() => client.seek('wh_1', 'now'), 'POST /wh_1/seek', { named: 'now' }, undefined],
    [() => client.seek('wh_1', { positions }), 'POST /wh_1/seek', { positions }, undefined],
    [() => client.resend('wh_1', 'msg/1'), 'POST /wh_1/messages/msg%2F1/resend', undefined, undefined],
    [() => client.skip('wh_1', 'msg_1'), 'POST /wh_1/messages/msg_1/skip', undefined, undefined],
    [() => client.redrive('wh_1'), 'POST /wh_1/dead-letters/redrive', {}, 3],
    [() => client.redrive('wh_1', ['msg_1']), 'POST /wh_1/dead-letters/redrive', { messages: ['msg_1'] }, 3],
    [() => client.replay('wh_1', { since: '2026-01-01T12:00:00Z' }, 5).then((r) => r.id), 'POST /wh_1/replay',
      { since: '2026-01-01T12:00:00Z', perSecond: 5 }, 'wh_1'],
    [() => client.getReplay('wh_1', 'rp_1').then((r) => r.id), 'GET /wh_1/replays/rp_1', undefined, 'wh_1'],
    [() => client.cancelReplay('wh_1', 'rp_1').then((r) => r.id), 'DELETE /wh_1/replays/rp_1', undefined, 'wh_1'],
    [() => client.poll('wh_1', { limit: 5 }).then((m) => m[0]?.lease), 'POST /wh_1/poll', { limit: 5 }, 'l'],
    [() => client.ack('wh_1', ['l'], ['m']), 'POST /wh_1/ack', { acked: ['l'], returned: ['m'] }, 2],
  ];
  for (const [call, line, body, result] of calls) {
    assert.deepEqual(await call(), result, line);
    const last = asked.at(-1) as Asked;
    assert.equal(`${last.method} ${last.url.replace('/v1/webhooks', '')}`, line);
    assert.equal(last.authorization, 'Bearer K');
    assert.deepEqual(last.body === '' ? undefined : JSON.parse(last.body), body, line);
  }
});

test('lists fetch page by page', async (t) => {
  const { client, asked } = await serve(t, ({ url }) => {
    const { searchParams, pathname } = new URL(url, 'http://x');
    const place = searchParams.get('after') ?? searchParams.get('before');
    const member = pathname.endsWith('attempts') ? 'attempts' : pathname.endsWith('dead-letters') ? 'deadLetters' : 'webhooks';
    return { body: place === null ? { [member]: [{ id: 'a' }, { id: 'b' }], next: 'b&c' } : { [member]: [{ id: place }] } };
  });
  for (const list of [client.list(), client.attempts('wh_1', { status: 'failed', since: new Date(0), pageSize: 2 }), client.deadLetters('wh_1')]) {
    assert.deepEqual(await all(list as AsyncIterable<unknown>), [{ id: 'a' }, { id: 'b' }, { id: 'b&c' }]);
  }
  assert.deepEqual(asked.map((one) => one.url.replace('/v1/webhooks', '')), [
    '?limit=100', '?limit=100&after=b%26c',
    '/wh_1/attempts?limit=2&status=failed&since=1970-01-01T00%3A00%3A00.000Z',
    '/wh_1/attempts?limit=2&status=failed&since=1970-01-01T00%3A00%3A00.000Z&before=b%26c',
    '/wh_1/dead-letters?limit=200', '/wh_1/dead-letters?limit=200&after=b%26c',
  ]);
});

test('an empty page is not the last', async (t) => {
  const { client } = await serve(t, ({ url }) => {
    const place = new URL(url, 'http://x').searchParams.get('before');
    return { body: place === null ? { attempts: [], next: 'a' } : { attempts: [{ id: place }] } };
  });
  assert.deepEqual(await all(client.attempts('wh_1', { status: 'succeeded' }) as AsyncIterable<unknown>), [{ id: 'a' }]);
});

test('an export is read line by line, wherever it is cut', async () => {
  const text = '{"messageId":"1","failure":"é"}\n{"messageId":"2","message":{"data":"\\n"}}\n';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 7, 1000]) {
    const client = new GridWebhooks({
      url: 'http://x', apiKey: 'K', fetch: () => Promise.resolve(new Response(new ReadableStream({
        start: (controller) => {
          for (let at = 0; at < bytes.length; at += size) {
            controller.enqueue(bytes.slice(at, at + size));
          }
          controller.close();
        },
      }))),
    });
    assert.deepEqual(await all(client.exportDeadLetters('wh_1')), text.trim().split('\n').map((line) => JSON.parse(line)));
  }
});

test('an export that breaks off fails', async () => {
  let cancelled = false;
  const broken = (end: (controller: ReadableStreamDefaultController<Uint8Array>) => void): GridWebhooks => new GridWebhooks({
    url: 'http://x', apiKey: 'K', fetch: () => Promise.resolve(new Response(new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode('{"messageId":"1"}\n')),
      pull: end,
      cancel: () => { cancelled = true; },
    }))),
  });
  await assert.rejects(all(broken((c) => c.error(new Error('reset'))).exportDeadLetters('wh_1')), (e) => e instanceof GridError && e.code === 'connection');
  for await (const letter of broken(() => new Promise<void>(() => undefined)).exportDeadLetters('wh_1')) {
    assert.equal(letter.messageId, '1');
    break;
  }
  assert.ok(cancelled);
});

test('refusals are errors with a code', async (t) => {
  const cases: [Answer, string, boolean, number | undefined][] = [
    [{ status: 404, body: { code: 'bad_frame', detail: 'There is no such webhook.' } }, 'bad_frame', false, undefined],
    [{ status: 409, body: { code: 'conflict', detail: 'x' } }, 'conflict', false, undefined],
    [{ status: 503, body: { code: 'unavailable', detail: 'x' }, headers: { 'retry-after': '7' } }, 'unavailable', true, 7000],
    [{ status: 502, body: '<html>' }, 'unavailable', true, undefined],
    [{ status: 413, body: '' }, 'too_large', false, undefined],
    [{ status: 500, body: 'null' }, 'internal', true, undefined],
    [{ status: 200, body: '<html>' }, 'protocol', false, undefined],
  ];
  let current: Answer = {};
  const { client } = await serve(t, () => current);
  for (const [answer, code, outcomeUnknown, retryAfterMs] of cases) {
    current = answer;
    await assert.rejects(client.get('wh_1'), (error) => {
      assert.ok(error instanceof GridError);
      assert.deepEqual([error.code, error.outcomeUnknown, error.retryAfterMs], [code, outcomeUnknown, retryAfterMs]);
      return true;
    });
  }
});

test('a server that is not there, and ids that are none', async () => {
  const client = new GridWebhooks({ url: 'http://127.0.0.1:9', apiKey: 'K', fetch: () => Promise.reject(new TypeError('refused')) });
  await assert.rejects(client.get('wh_1'), (error) => error instanceof GridError && error.code === 'connection' && error.outcomeUnknown);
  for (const id of ['', '.', '..']) {
    await assert.rejects(client.get(id), (error) => error instanceof GridError && error.code === 'bad_argument');
  }
});
