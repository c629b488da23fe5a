// A receiver of webhooks that knows nothing of Grid's server: it checks signatures with the package "standardwebhooks" and with the
// SDK, and reads CloudEvents with the package "cloudevents". The first line of standard input is {"secrets":["whsec_…","whpk_…"]};
// then it writes its address and answers every POST with what it understood. Started by NodeWebhookReceiver.cs.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

const [sdkFolder, packageFolder] = process.argv.slice(2);
const { verifyWebhook } = await import(pathToFileURL(join(sdkFolder, 'webhooks.js')).href);
const require = createRequire(join(packageFolder, 'package.json'));
const { Webhook } = require('standardwebhooks');
const { HTTP } = require('cloudevents');

const input = createInterface({ input: process.stdin });
const { secrets } = JSON.parse((await input[Symbol.asyncIterator]().next()).value);

/** What a check gives: {"ok": …} or {"error": …}. */
async function outcome(check) {
  try {
    return { ok: await check() };
  } catch (error) {
    return { error: `${error.name}: ${error.code ?? error.message}` };
  }
}

function readEvent(headers, raw) {
  // Text for what says that it is JSON, bytes for the rest, as a framework's body parser would have it.
  const body = /json/.test(headers['content-type']) ? raw.toString() : raw;
  const event = HTTP.toEvent({ headers, body });
  event.validate();
  const { data, data_base64, ...attributes } = event;
  return { ...attributes, data: ArrayBuffer.isView(data) ? Buffer.from(data).toString('base64') : data };
}

const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) {
    parts.push(part);
  }
  const raw = Buffer.concat(parts);
  const answer = { headers: request.headers, body: raw.toString('base64'), standardwebhooks: [], sdk: [] };
  for (const secret of secrets) {
    answer.sdk.push(await outcome(() => verifyWebhook(raw, request.headers, secret)));
    // The package knows no public keys.
    if (secret.startsWith('whsec_')) {
      answer.standardwebhooks.push(await outcome(() => new Webhook(secret).verify(raw, request.headers)));
    }
  }
  answer.event = await outcome(() => readEvent(request.headers, raw));
  response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`http://127.0.0.1:${server.address().port}/\n`));
// Ends with whoever started it.
input.on('close', () => process.exit());
