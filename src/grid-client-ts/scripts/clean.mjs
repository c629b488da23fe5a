// Removes what earlier builds left, so that a deleted module cannot live on in dist/ or in the tests.
import { rmSync } from 'node:fs';

for (const folder of ['dist', 'artifacts']) {
  rmSync(new URL(`../${folder}`, import.meta.url), { recursive: true, force: true });
}
