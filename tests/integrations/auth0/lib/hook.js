'use strict';
// Runs a Hook the way Auth0 did: compiled by Auth0's own `auth0-ext-compilers`, called with the webtask context.
const { Readable } = require('stream');
const compile = require('auth0-ext-compilers')['send-phone-message'];
const { withinTriggerTime } = require('./time.js');

/**
 * What webtask supplied to the compiler: a CommonJS wrapper. `baseURL`, when given, replaces the one a hook passes to
 * `axios.create`: the only change made to a published hook.
 */
function nodejsCompiler(baseURL) {
  const hookRequire = (name) => {
    if (name !== 'axios' || !baseURL) return require(name);
    const axios = require('axios');
    const create = (config) => axios.create({ ...config, baseURL });
    const swapped = new Proxy(axios, { get: (target, key) => (key === 'create' ? create : target[key]) });
    return { ...axios, default: swapped };
  };
  return (script, cb) => {
    try {
      const module = { exports: {} };
      new Function('module', 'exports', 'require', script)(module, module.exports, hookRequire);
      cb(null, module.exports);
    } catch (error) {
      cb(error);
    }
  };
}

/** Compiles `script`, calls it, and returns what Auth0 would read: `{status: 'success'|'error', data}`. */
async function runHook(script, { body, secrets, baseURL }) {
  const webtask = await new Promise((resolve, reject) => {
    compile({ nodejsCompiler: nodejsCompiler(baseURL), script, secrets: {} }, (error, fn) => (error ? reject(error) : resolve(fn)));
  });
  const request = Object.assign(Readable.from([]), { method: 'POST', headers: {} });
  const answer = new Promise((resolve) => {
    webtask({ body, headers: {}, secrets }, request, { writeHead() {}, end: (text) => resolve(JSON.parse(text)) });
  });
  return withinTriggerTime(answer);
}

module.exports = { runHook };
