// Shows times in the viewer's zone, and keeps the page up to date while it is visible. Without it, the page shows the moment it was loaded at.
(() => {
  'use strict';
  const betweenLooks = 2000;
  // Longer than the server itself takes before it gives up.
  const longestLook = 30000;
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
  const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
  const said = new WeakMap();
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

  const say = (text) => {
    // It is read out when it changes, and only then.
    if (state && state.textContent !== text) state.textContent = text;
  };

  const takeOver = (fresh) => {
    const parts = [...document.querySelectorAll('[data-live]')].map((part) => [part, fresh.querySelector(`[data-live="${part.dataset.live}"]`)]);
    if (parts.some(([, next]) => !next)) throw new Error('The server answers with another page');
    // What is under a finger or the mouse stays until it is let go, or the press would be lost.
    if (isPressed) return;
    for (const [part, next] of parts) {
      // Times grow older on their own: only what the server says anew is put in place, so that nothing flickers and a selection stays.
      if (next.innerHTML === said.get(part)) {
        showTimes(part);
        continue;
      }
      said.set(part, next.innerHTML);
      showTimes(next);
      const focused = part.contains(document.activeElement) ? document.activeElement.id : null;
      part.replaceChildren(...next.childNodes);
      if (focused !== null) (document.getElementById(focused) ?? part.querySelector('h2'))?.focus({ preventScroll: true });
    }
  };

  const look = async () => {
    if (document.visibilityState !== 'visible' || document.querySelectorAll('[data-live]').length === 0) return;
    const giveUp = new AbortController();
    const timer = setTimeout(() => giveUp.abort(new Error('The server does not answer')), longestLook);
    try {
      const answer = await fetch(location.href, { headers: { Accept: 'text/html' }, cache: 'no-store', signal: giveUp.signal });
      if (!answer.ok) throw new Error(`The server answers ${answer.status}`);
      if (answer.redirected) throw new Error('The server leads to another page');
      takeOver(new DOMParser().parseFromString(await answer.text(), 'text/html'));
      brokenAt = null;
      say('Up to date');
    } catch (broken) {
      brokenAt ??= clock.format(new Date());
      say(`Not up to date since ${brokenAt}: ${broken.message}. It is tried again.`);
    } finally {
      clearTimeout(timer);
    }
  };

  for (const part of document.querySelectorAll('[data-live]')) said.set(part, part.innerHTML);
  showTimes(document);
  say('');
  document.addEventListener('pointerdown', () => { isPressed = true; });
  for (const end of ['pointerup', 'pointercancel']) document.addEventListener(end, () => { isPressed = false; });
  let looking = false;
  const lookOnce = async () => {
    if (looking) return;
    looking = true;
    try { await look(); } finally { looking = false; }
  };
  setInterval(lookOnce, betweenLooks);
  document.addEventListener('visibilitychange', lookOnce);
})();
