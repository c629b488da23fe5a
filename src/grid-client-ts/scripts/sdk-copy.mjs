// Copies the built modules to the host's web root, where the playground loads them without Node or a bundler.
// With --check it changes nothing and fails when the committed copy is not what the sources build to.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const target = fileURLToPath(new URL('../../Grid.Host/wwwroot/sdk', import.meta.url));
const modules = (folder) => (existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.js')).sort() : []);
const built = modules(dist);

if (process.argv.includes('--check')) {
  const committed = modules(target);
  const stale = [...new Set([...built, ...committed])].filter(
    (name) => !built.includes(name) || !committed.includes(name)
      || readFileSync(join(dist, name), 'utf8') !== readFileSync(join(target, name), 'utf8'));
  if (stale.length > 0) {
    console.error(`The copy in Grid.Host/wwwroot/sdk is stale (${stale.join(', ')}): run "npm run build" and commit it.`);
    process.exit(1);
  }
  console.log(`The copy in Grid.Host/wwwroot/sdk is current: ${built.length} modules.`);
} else {
  mkdirSync(target, { recursive: true });
  for (const name of modules(target)) {
    rmSync(join(target, name));
  }
  for (const name of built) {
    writeFileSync(join(target, name), readFileSync(join(dist, name)));
  }
  console.log(`Copied ${built.length} modules to Grid.Host/wwwroot/sdk.`);
}
