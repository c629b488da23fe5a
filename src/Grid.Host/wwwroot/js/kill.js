import { byId, el, timeOfDay } from './dom.js';

const port = location.port || (location.protocol === 'https:' ? '443' : '80');
// Only who listens: without that word, lsof would name this browser too.
const kills = [
  ['Linux, macOS', `kill -9 $(lsof -t -iTCP:${port} -sTCP:LISTEN)`],
  ['Windows (PowerShell)', `Stop-Process -Force -Id (Get-NetTCPConnection -LocalPort ${port} -State Listen).OwningProcess`],
  ['Docker, by your container\'s name', 'docker kill --signal KILL grid'],
];
const starts = [
  ['Source folder', `dotnet run -c Release --project src/Grid.Host --urls http://localhost:${port}`],
  ['Docker', 'docker start grid'],
];

/** The instructions for killing the server, and a list that ticks itself off while it happens. */
export class KillDialog {
  #dialog = byId('kill-dialog');

  constructor(breaker) {
    byId('kill-commands').append(...kills.map(command));
    byId('start-commands').append(...starts.map(command));
    byId('kill').addEventListener('click', () => {
      for (const step of ['lost', 'back', 'whole']) {
        this.#mark(step, false);
      }
      this.#dialog.showModal();
    });
    this.#dialog.addEventListener('click', (event) => {
      // A click on the backdrop has the dialog itself as its target; its own padding too, so look where it was.
      const box = this.#dialog.getBoundingClientRect();
      const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
      if (event.target === this.#dialog && !inside) {
        this.#dialog.close();
      }
    });
    breaker.watch((step, text) => this.#dialog.open && this.#mark(step, true, text));
  }

  #mark(step, done, text) {
    const item = byId(`watch-${step}`);
    item.dataset.text ??= item.textContent;
    item.classList.toggle('done', done);
    item.replaceChildren(text ?? item.dataset.text, ...(done ? [' ', el('time', {}, timeOfDay(Date.now()))] : []));
  }
}

function command([where, text]) {
  const code = el('code', { tabindex: '0' }, text);
  const row = el('div', { class: 'command' }, el('span', { class: 'where' }, where), code);
  if (navigator.clipboard !== undefined) {
    const copy = el('button', { type: 'button', class: 'small', 'aria-label': `Copy the command for ${where}` }, 'Copy');
    copy.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(text);
        copy.textContent = 'Copied';
      } catch {
        getSelection().selectAllChildren(code);
        copy.textContent = 'Selected';
      }
      setTimeout(() => (copy.textContent = 'Copy'), 2_000);
    });
    row.append(copy);
  }
  return row;
}
