// Prints the messages of a channel, one JSON object per line; what happens to the connection goes to standard error.
//
//   node examples/tail.mjs --url ws://localhost:8080 --token TOKEN --channel room:1 [--from now|start|last:N|EPOCH:OFFSET] [--count N]
//
// With --count it ends after so many messages, else with Ctrl+C. Run "npm ci && npm run build" once before.
import { parseArgs } from 'node:util';
import { GridClient } from '../dist/index.js';

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'ws://localhost:8080' },
    token: { type: 'string' },
    channel: { type: 'string' },
    from: { type: 'string', default: 'now' },
    count: { type: 'string' },
  },
});
if (values.channel === undefined) {
  console.error('usage: tail.mjs --url URL --token TOKEN --channel CHANNEL [--from now|start|last:N|EPOCH:OFFSET] [--count N]');
  process.exit(2);
}

function startPoint(text) {
  if (text === 'now' || text === 'start') {
    return text;
  }
  const colon = text.lastIndexOf(':');
  const name = text.slice(0, colon);
  const number = Number(text.slice(colon + 1));
  if (colon < 1 || !Number.isSafeInteger(number) || number < 0) {
    console.error(`--from ${text}: expected now, start, last:N or EPOCH:OFFSET`);
    process.exit(2);
  }
  return name === 'last' ? { last: number } : { epoch: name, offset: number };
}

const { WebSocket } = await import('ws');
const client = new GridClient({
  url: values.url,
  token: values.token,
  client: 'grid-tail/0.1.0',
  webSocket: (url, protocols) => new WebSocket(url, protocols),
});
client.on('state', ({ state, error }) => console.error(`state ${state}${error === undefined ? '' : `: ${error.code} ${error.message}`}`));
client.on('error', (error) => console.error(`error ${error.code}: ${error.message}`));
client.on('goaway', ({ reason, reconnectInMs }) => console.error(`goaway ${reason}, changing over in ${reconnectInMs} ms`));
client.on('sessionExpired', () => console.error('the session had expired'));
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => void client.close());
}

let left = values.count === undefined ? Infinity : Number(values.count);
const subscription = client.subscribe(values.channel, {
  from: startPoint(values.from),
  onGap: (gap) => console.log(JSON.stringify({ gap })),
});
try {
  await client.connect();
  await subscription.ready;
  console.error(`subscribed ${values.channel} after ${subscription.epoch}:${subscription.cursor}`);
  if (left > 0) {
    for await (const { bytes, ...message } of subscription) {
      console.log(JSON.stringify(bytes === undefined ? message : { ...message, data64: Buffer.from(bytes).toString('base64') }));
      if (--left <= 0) {
        break;
      }
    }
  }
} catch (error) {
  if (error.code !== 'closed' || client.closeError !== undefined) {
    console.error(`failed: ${error.code} ${error.message}`);
    process.exitCode = 1;
  }
}
await client.close();
