// Runs the tests once in each form of frames, and adds up what the runner says: the last lines are those of a single run.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const files = readdirSync(new URL('../artifacts', import.meta.url)).filter((name) => name.endsWith('.test.js')).sort();
const totals = new Map();
let failed = false;
// For Node 20 it is the limit of a test and of all tests of a file together: it must do for a whole file on a machine that does much else.
const limitMs = 120_000;
for (const wire of ['json', 'proto']) {
  console.log(`# frames: ${wire}`);
  const { status, stdout } = spawnSync(
    process.execPath, ['--test', '--test-reporter=tap', `--test-timeout=${limitMs}`, ...files.map((name) => `artifacts/${name}`)],
    { cwd: root, env: { ...process.env, GRID_WIRE: wire }, stdio: ['inherit', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 1 << 28 });
  process.stdout.write(stdout);
  failed ||= status !== 0;
  for (const [, name, count] of stdout.matchAll(/^# (tests|pass|fail|cancelled|skipped|todo) (\d+)$/gm)) {
    totals.set(name, (totals.get(name) ?? 0) + Number(count));
  }
}
console.log('# both');
for (const [name, count] of totals) {
  console.log(`# ${name} ${count}`);
}
process.exit(failed ? 1 : 0);
