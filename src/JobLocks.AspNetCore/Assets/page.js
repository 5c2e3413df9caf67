// Shows times in the viewer's time zone, and refreshes the page while it is visible. Without this script, the page shows the state at its load time.
(() => {
  'use strict';
  const refreshInterval = 2000;
  // Longer than the server's own timeout.
  const longestRefresh = 30000;
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
  const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
  const lastHtml = new WeakMap();
  const state = document.getElementById('state');
  let brokenAt = null;
  let isPressed = false;

  const ago = (seconds) =>
    seconds < 100 ? `${Math.max(0, Math.round(seconds))} s` : seconds < 6000 ? `${Math.round(seconds / 60)} min` : seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;

  const showTimes = (within) => {
    for (const time of within.querySelectorAll('time')) {
      const instant = new Date(time.dateTime);
      const seconds = (Date.now() - instant) / 1000;
      time.title = `${exact.format(instant)} (${time.dateTime})`;
      time.textContent = `${(seconds < 43200 ? clock : day).format(instant)}, ${ago(seconds)} ago`;
    }
  };

  const setStatus = (text) => {
    // A screen reader reads the status when its text is set, so it is set only when it changes.
    if (state && state.textContent !== text) state.textContent = text;
  };

  const applyUpdate = (fresh) => {
    const parts = [...document.querySelectorAll('[data-live]')].map((part) => [part, fresh.querySelector(`[data-live="${part.dataset.live}"]`)]);
    if (parts.some(([, next]) => !next)) throw new Error('The server answers with another page');
    // While the mouse or a finger is pressed, nothing is replaced, or the click would be lost.
    if (isPressed) return;
    for (const [part, next] of parts) {
      // Only parts that have changed on the server are replaced, so that nothing flickers and a selection stays. Elapsed times are always updated.
      if (next.innerHTML === lastHtml.get(part)) {
        showTimes(part);
        continue;
      }
      lastHtml.set(part, next.innerHTML);
      showTimes(next);
      const focused = part.contains(document.activeElement) ? document.activeElement.id : null;
      part.replaceChildren(...next.childNodes);
      if (focused !== null) (document.getElementById(focused) ?? part.querySelector('h2'))?.focus({ preventScroll: true });
    }
  };

  const refresh = async () => {
    if (document.visibilityState !== 'visible' || document.querySelectorAll('[data-live]').length === 0) return;
    const giveUp = new AbortController();
    const timer = setTimeout(() => giveUp.abort(new Error('The server does not answer')), longestRefresh);
    try {
      const answer = await fetch(location.href, { headers: { Accept: 'text/html' }, cache: 'no-store', signal: giveUp.signal });
      if (!answer.ok) throw new Error(`The server answers ${answer.status}`);
      if (answer.redirected) throw new Error('The server leads to another page');
      applyUpdate(new DOMParser().parseFromString(await answer.text(), 'text/html'));
      brokenAt = null;
      setStatus('Up to date');
    } catch (broken) {
      brokenAt ??= clock.format(new Date());
      setStatus(`Not up to date since ${brokenAt}: ${broken.message}. It is tried again.`);
    } finally {
      clearTimeout(timer);
    }
  };

  for (const part of document.querySelectorAll('[data-live]')) lastHtml.set(part, part.innerHTML);
  showTimes(document);
  setStatus('');
  document.addEventListener('pointerdown', () => { isPressed = true; });
  for (const end of ['pointerup', 'pointercancel']) document.addEventListener(end, () => { isPressed = false; });
  let isRefreshing = false;
  const refreshOnce = async () => {
    if (isRefreshing) return;
    isRefreshing = true;
    try { await refresh(); } finally { isRefreshing = false; }
  };
  setInterval(refreshOnce, refreshInterval);
  document.addEventListener('visibilitychange', refreshOnce);
})();
