// Keeps the sentence about a job's lock up to date while its page is visible, and loads a page again that could not be shown.
(function () {
  'use strict';
  if (document.querySelector('.js-joblocks-again')) setTimeout(function () { location.reload(); }, 5000);
  var place = document.querySelector('.js-joblocks');
  if (!place) return;
  setInterval(function () {
    if (document.visibilityState !== 'visible') return;
    fetch(place.dataset.url, { cache: 'no-store', credentials: 'same-origin' })
      .then(function (answer) { return answer.ok ? answer.text() : ''; })
      .then(function (sentence) {
        place.hidden = !sentence;
        var text = place.querySelector('p');
        if (text.textContent !== sentence) text.textContent = sentence;
      })
      .catch(function () { });
  }, 2000);
})();
