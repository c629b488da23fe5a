// A user of the TypeScript SDK, told what to do by lines of JSON on standard input; what it sees goes to standard output, one JSON
// object per line. Started by NodePeer.cs, which gives the folders of the SDK and of the package "ws".
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

const [sdkFolder, packageFolder] = process.argv.slice(2);
const { GridClient } = await import(pathToFileURL(join(sdkFolder, 'index.js')).href);
const { protoCodec } = await import(pathToFileURL(join(sdkFolder, 'proto.js')).href);
const { WebSocket } = createRequire(join(packageFolder, 'package.json'))('ws');

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
let client;
let channels = [];
let finishing = false;

/** Storage as a page has it; its content is what another process needs to go on. */
function memoryStorage(content) {
  const items = new Map(Object.entries(content ?? {}));
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => items.set(key, value),
    removeItem: (key) => items.delete(key),
    content: () => Object.fromEntries(items),
  };
}

let storage;

/** The address at a host picked at random, as a balancer would. */
function somewhere(address, urls) {
  const host = new URL(urls[Math.floor(Math.random() * urls.length)]);
  const url = new URL(address);
  url.host = host.host;
  return url.href;
}

async function start({ urls, token, name, proto, follow, stored, mayBeUnavailable }) {
  storage = memoryStorage(stored);
  channels = follow;
  client = new GridClient({
    url: urls[0],
    token,
    client: name,
    ...(proto ? { codec: protoCodec } : {}),
    storage,
    reconnect: { minDelayMs: 50, maxDelayMs: 500 },
    publishTimeoutMs: 180_000,
    webSocket: (address, protocols) => new WebSocket(somewhere(address, urls), protocols),
  });
  client.on('sessionExpired', ({ previousSession }) => say({ is: 'odd', text: `the session ${previousSession} expired` }));
  const foreseen = new Set(mayBeUnavailable ? ['connection', 'unavailable'] : ['connection']);
  client.on('error', (error) => foreseen.has(error.code) || say({ is: 'odd', text: `${error.code} ${error.message}` }));
  client.on('state', ({ state }) => say({ is: 'state', state }));
  const subscriptions = follow.map((channel) => client.subscribe(channel, {
    from: 'start',
    onMessage: ({ epoch, offset, key, data }) => say({ is: 'message', channel, epoch, offset, key, payload: JSON.stringify(data) }),
    onGap: ({ epoch, from, to, reason }) => say({ is: 'gap', channel, epoch, from, to, reason }),
  }));
  await client.connect();
  await Promise.all(subscriptions.map(({ ready }) => ready));
  say({ is: 'ready', session: client.session });
}

async function publish({ name, count, paceMs }) {
  const window = 64;
  const open = new Set();
  for (let n = 0; n < count && !finishing; n++) {
    while (open.size >= window) {
      await Promise.race(open);
    }
    const channel = channels[n % channels.length];
    const data = { by: name, n };
    const answer = client.publish(channel, data).then(
      ({ epoch, offset, duplicate }) => say({ is: 'published', channel, n, payload: JSON.stringify(data), epoch, offset, duplicate }),
      (error) => say({
        is: 'failed', channel, n, payload: JSON.stringify(data), code: error.code ?? String(error), unknown: error.outcomeUnknown === true,
      }));
    open.add(answer);
    answer.finally(() => open.delete(answer));
    if (paceMs > 0) {
      await new Promise((resolve) => setTimeout(resolve, paceMs));
    }
  }
  await Promise.all(open);
  say({ is: 'done' });
}

async function close() {
  await client?.flush();
  await client?.close();
  say({ is: 'closed', stored: storage?.content() });
  process.exit(0);
}

const finish = () => { finishing = true; };
const actions = { start, publish, finish, close, cut: () => client.dropConnection() };
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  Promise.resolve(actions[command.do](command)).catch((error) => say({ is: 'odd', text: error.stack ?? String(error) }));
}
process.exit(0);
