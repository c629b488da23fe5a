// The theme a visitor chose, applied before the first paint; without a choice the system's counts.
(() => {
  'use strict';
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const read = () => {
    try {
      return localStorage.getItem('grid.theme');
    } catch {
      return null;
    }
  };
  const apply = (theme) => {
    if (theme === 'light' || theme === 'dark') {
      root.dataset.theme = theme;
    }
  };
  const announce = () => root.dispatchEvent(new Event('themechange'));
  apply(read());
  dark.addEventListener('change', announce);
  document.addEventListener('click', (event) => {
    if (!event.target.closest?.('#theme')) {
      return;
    }
    const now = root.dataset.theme ?? (dark.matches ? 'dark' : 'light');
    const next = now === 'dark' ? 'light' : 'dark';
    apply(next);
    try {
      localStorage.setItem('grid.theme', next);
    } catch {
      // A browser that keeps nothing: the choice lasts as long as the page.
    }
    announce();
  });
})();
