'use strict';
// Runs an Action the way Auth0 does: the file's export called with (event, api), within the trigger's time.
// Auth0's own test package is not on npm, so `api` is a stub of the documented methods.
const { withinTriggerTime } = require('./time.js');

/** Returns `{thrown, verdict, reason}`: the last of drop and retry wins, a plain return leaves the verdict undefined. */
async function runAction(file, handler, event) {
  const result = {};
  const verdict = (name) => (reason) => Object.assign(result, { verdict: name, reason });
  const api = {
    notification: { drop: verdict('drop'), retry: verdict('retry') },
    cache: { get: () => undefined, set: () => ({ type: 'success' }), delete: () => ({ type: 'success' }) },
  };
  delete require.cache[require.resolve(file)];
  try {
    await withinTriggerTime(require(file)[handler](event, api));
  } catch (error) {
    result.thrown = error;
  }
  return result;
}

module.exports = { runAction };
