'use strict';
// Auth0 stops all code of a trigger after 20 s.
const TRIGGER_MS = 20000;

function withinTriggerTime(work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${TRIGGER_MS} ms: Auth0 would have stopped it`)), TRIGGER_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

module.exports = { withinTriggerTime };
