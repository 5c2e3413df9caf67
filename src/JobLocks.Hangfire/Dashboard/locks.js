// Updates the sentence about a job's lock while its page is visible, and reloads a page that could not be shown.
(function () {
  'use strict';
  if (document.querySelector('.js-joblocks-again')) setTimeout(function () { location.reload(); }, 5000);
  var section = document.querySelector('.js-joblocks');
  if (!section) return;
  setInterval(function () {
    if (document.visibilityState !== 'visible') return;
    fetch(section.dataset.url, { cache: 'no-store', credentials: 'same-origin' })
      .then(function (answer) { return answer.ok ? answer.text() : ''; })
      .then(function (sentence) {
        section.hidden = !sentence;
        var text = section.querySelector('p');
        if (text.textContent !== sentence) text.textContent = sentence;
      })
      .catch(function () { });
  }, 2000);
})();
