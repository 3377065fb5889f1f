'use strict';
// Drives a running gateway the way Auth0 does and reads every code back from its inbox. See README.md for what it needs.
const assert = require('assert');
const { randomInt } = require('crypto');
const fs = require('fs');
const path = require('path');
const events = require('./fixtures/events.js');
const { runAction } = require('./lib/action.js');
const { runHook } = require('./lib/hook.js');
const { Inbox } = require('./lib/inbox.js');
const { startTap } = require('./lib/tap.js');

const ROOT = path.resolve(__dirname, '../../..');
const GLUE = path.join(ROOT, 'deploy/integrations/auth0');
const MITTO_HOOK = fs.readFileSync(path.join(__dirname, 'fixtures/mitto-hook.js'), 'utf8');
const OUR_HOOK = fs.readFileSync(path.join(GLUE, 'hook/send-phone-message.js'), 'utf8');
const SEND = path.join(GLUE, 'actions/send-phone-message.js');
const CUSTOM = path.join(GLUE, 'actions/custom-phone-provider.js');
// HS256 under "MySecretToSignTheToken", sub urn:Auth0, aud urn:MySmsGateway, no exp: as Auth0 signs it.
const JWT = process.env.GATEWAY_PASSWORDLESS_JWT
  || 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1cm46QXV0aDAiLCJhdWQiOiJ1cm46TXlTbXNHYXRld2F5In0.KSMC-Cm2Ck1j0OZ5RnESXr0pbeT-7acnKoG2BjefIyM';
const WRONG_KEY = 'sk_live_00000000_not_a_key_of_this_gateway';
const INVALID = '+447700900002'; // the mock provider refuses it: no such number

const need = (name) => {
  if (!process.env[name]) { console.error(`${name} is not set; see README.md`); process.exit(2); }
  return process.env[name].replace(/\/+$/, '');
};
const [URL_, KEY, OPS] = ['GATEWAY_URL', 'GATEWAY_KEY', 'GATEWAY_OPS_URL'].map(need);
const inbox = new Inbox(OPS, process.env.GATEWAY_OPS_TOKEN);

let next = 100;
/** A recipient and a code of its own for each case; 900100 to 900999 are delivered by the mock provider. */
const fresh = () => ({ to: `+447700900${next++}`, code: String(randomInt(100000, 1000000)) });
const secrets = (tap, key = KEY) => ({ GATEWAY_URL: `${tap.url}/`, GATEWAY_KEY: key });

/** Nothing of the tenant's secrets or of its users' metadata may be in what the glue posts. */
function assertNothingLeaked(sent, key = KEY) {
  for (const { body } of sent) {
    for (const secret of [key, 'webtask', 'secrets', 'metadata-must-stay']) {
      assert(!body.includes(secret), `the glue sent ${secret === key ? 'the key' : secret} to the gateway: ${body}`);
    }
  }
}
/** An error text ends up in Auth0's logs: it must say what the gateway said, and not the key. */
function assertTelling(text, pattern, key) {
  assert.match(text, pattern);
  assert(!text.includes(key), `the error text holds the key: ${text}`);
}
async function post(route, body, headers) {
  const answer = await fetch(`${URL_}${route}`, { method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(20000) });
  return { status: answer.status, text: await answer.text() };
}
const bearer = { authorization: `Bearer ${KEY}` };

const mitto = (body, tap, key = KEY) => runHook(MITTO_HOOK, { body, secrets: { MITTO_API_KEY: key }, baseURL: `${tap.url}/` });
const ours = (body, tap, key = KEY) => runHook(OUR_HOOK, { body, secrets: secrets(tap, key) });
const send = (event) => runAction(SEND, 'onExecuteSendPhoneMessage', event);
const custom = (event) => runAction(CUSTOM, 'onExecuteCustomPhoneProvider', event);

const cases = {
  "Auth0's Mitto hook is the published one": () => {
    const seed = path.resolve(ROOT, '../shared/reference/seed.txt');
    assert.match(MITTO_HOOK, /rest\.mittoapi\.com/);
    if (fs.existsSync(seed)) assert(fs.readFileSync(seed, 'utf8').includes(MITTO_HOOK.trim()), 'it differs from the seed');
  },
  "Auth0's Mitto hook sends with only base URL and key changed": async (tap) => {
    const { to, code } = fresh();
    assert.deepStrictEqual(await mitto(events.hookBody(to, code, 'enrollment'), tap), { statusCode: 200, headers: {}, status: 'success', data: {} });
    assert.strictEqual(tap.sent[0].path, '/sms.json');
    assert.strictEqual(tap.sent[0].headers['x-mitto-api-key'], KEY);
    await inbox.expectCode(to, code);
  },
  "Auth0's Mitto hook fails with a wrong key": async (tap) => {
    const { to, code } = fresh();
    assert.strictEqual((await mitto(events.hookBody(to, code, 'enrollment'), tap, WRONG_KEY)).status, 'error');
  },
  "Auth0's Mitto hook fails for a number that does not exist": async (tap) => {
    assert.strictEqual((await mitto(events.hookBody(INVALID, fresh().code, 'enrollment'), tap)).status, 'error');
  },

  ...Object.fromEntries(['enrollment', 'second-factor-authentication'].flatMap((action) => [
    [`our hook sends (${action})`, async (tap) => {
      const { to, code } = fresh();
      const answer = await ours(events.hookBody(to, code, action), tap);
      assert.strictEqual(answer.status, 'success', JSON.stringify(answer));
      assert.match(answer.data.MessageID, /^msg_[0-9a-f]{32}$/);
      assertNothingLeaked(tap.sent);
      await inbox.expectCode(to, code);
    }],
    [`Action send-phone-message sends (${action})`, async (tap) => {
      const { to, code } = fresh();
      const { thrown } = await send(events.sendPhoneMessage(to, code, action, secrets(tap)));
      assert.ifError(thrown);
      assertNothingLeaked(tap.sent);
      await inbox.expectCode(to, code);
    }],
  ])),
  'our hook fails with a wrong key': async (tap) => {
    const { to, code } = fresh();
    const answer = await ours(events.hookBody(to, code, 'enrollment'), tap, WRONG_KEY);
    assert.strictEqual(answer.status, 'error');
    assertTelling(JSON.stringify(answer.data), /gateway 401 unauthorized/, WRONG_KEY);
  },
  'our hook fails for a number that does not exist': async (tap) => {
    const answer = await ours(events.hookBody(INVALID, fresh().code, 'second-factor-authentication'), tap);
    assert.strictEqual(answer.status, 'error');
    assertTelling(JSON.stringify(answer.data), /gateway 422 \w+/, KEY);
    assertNothingLeaked(tap.sent);
  },
  'our hook fails when the gateway is away': async () => {
    const { to, code } = fresh();
    const answer = await ours(events.hookBody(to, code, 'enrollment'), { url: 'http://127.0.0.1:1' });
    assert.strictEqual(answer.status, 'error');
    assertTelling(JSON.stringify(answer.data), /gateway unreachable/, KEY);
  },

  'Action send-phone-message throws with a wrong key': async (tap) => {
    const { to, code } = fresh();
    const { thrown } = await send(events.sendPhoneMessage(to, code, 'enrollment', secrets(tap, WRONG_KEY)));
    assertTelling(thrown.message, /^gateway 401 unauthorized/, WRONG_KEY);
  },
  'Action send-phone-message throws for a number that does not exist': async (tap) => {
    const { thrown } = await send(events.sendPhoneMessage(INVALID, fresh().code, 'enrollment', secrets(tap)));
    assertTelling(thrown.message, /^gateway 422 \w+/, KEY);
  },
  'Action send-phone-message throws when the gateway is away': async () => {
    const { to, code } = fresh();
    const { thrown } = await send(events.sendPhoneMessage(to, code, 'enrollment', secrets({ url: 'http://127.0.0.1:1' })));
    assertTelling(thrown.message, /^gateway unreachable/, KEY);
  },

  ...Object.fromEntries(['otp_enroll', 'otp_verify'].map((type) => [`Action custom-phone-provider sends (${type})`, async (tap) => {
    const { to, code } = fresh();
    assert.deepStrictEqual(await custom(events.customPhoneProvider(to, code, type, secrets(tap))), {});
    assertNothingLeaked(tap.sent);
    await inbox.expectCode(to, code);
  }])),
  'Action custom-phone-provider drops with a wrong key': async (tap) => {
    const { to, code } = fresh();
    const { verdict, reason } = await custom(events.customPhoneProvider(to, code, 'otp_verify', secrets(tap, WRONG_KEY)));
    assert.strictEqual(verdict, 'drop');
    assertTelling(reason, /^gateway 401 unauthorized/, WRONG_KEY);
  },
  'Action custom-phone-provider drops a number that does not exist': async (tap) => {
    const { verdict, reason } = await custom(events.customPhoneProvider(INVALID, fresh().code, 'otp_verify', secrets(tap)));
    assert.strictEqual(verdict, 'drop', reason);
    assertTelling(reason, /^gateway 422 \w+/, KEY);
  },
  'Action custom-phone-provider asks for a retry when the gateway is away': async () => {
    const { to, code } = fresh();
    const { verdict, reason } = await custom(events.customPhoneProvider(to, code, 'otp_verify', secrets({ url: 'http://127.0.0.1:1' })));
    assert.strictEqual(verdict, 'retry');
    assertTelling(reason, /^gateway unreachable/, KEY);
  },

  "Auth0's own sample body sends, as text/plain": async (tap) => {
    const { to, code } = fresh();
    const answer = await fetch(`${tap.url}/hooks/auth0`, { method: 'POST', headers: bearer, body: JSON.stringify(events.flatSample(to, code)) });
    assert.match(tap.sent[0].headers['content-type'], /^text\/plain/);
    assert.strictEqual(answer.status, 200, await answer.text());
    await inbox.expectCode(to, code);
  },
  "Auth0's own sample body is refused with a wrong key": async () => {
    const { to, code } = fresh();
    const { status, text } = await post('/hooks/auth0', events.flatSample(to, code), { authorization: `Bearer ${WRONG_KEY}` });
    assert.strictEqual(status, 401, text);
  },

  'passwordless sends with a token': async () => {
    for (const authorization of [JWT, `Bearer ${JWT}`]) {
      const { to, code } = fresh();
      const { status, text } = await post('/hooks/auth0/passwordless', events.passwordless(to, code), { authorization, 'content-type': 'application/json' });
      assert.strictEqual(status, 200, text);
      assert(JSON.parse(text).id, text);
      await inbox.expectCode(to, code);
    }
  },
  'passwordless refuses forged, unsigned and missing tokens': async () => {
    const [header, claims, signature] = JWT.split('.');
    const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
    const flipped = (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1);
    const other = Buffer.from('{"sub":"urn:Auth0","aud":"urn:OtherGateway"}').toString('base64url');
    for (const token of [`${header}.${claims}.${flipped}`, `${header}.${other}.${signature}`, `${none}.${claims}.`, `${none}.${claims}.${signature}`, undefined]) {
      const { to, code } = fresh();
      const { status } = await post('/hooks/auth0/passwordless', events.passwordless(to, code), token ? { authorization: token } : {});
      assert.strictEqual(status, 401, `token ${token}`);
    }
  },
  'passwordless sends with the key in the path': async () => {
    const { to, code } = fresh();
    const { status, text } = await post(`/hooks/auth0/passwordless/k/${KEY}`, events.passwordless(to, code), { 'content-type': 'application/json' });
    assert.strictEqual(status, 200, text);
    await inbox.expectCode(to, code);
  },
  'passwordless answers anything but 200 for a number that does not exist': async () => {
    const { status, text } = await post('/hooks/auth0/passwordless', events.passwordless(INVALID, fresh().code), { authorization: JWT });
    assert.strictEqual(status, 422, text);
  },
};

(async () => {
  let [passed, failed] = [0, 0];
  for (const [name, drive] of Object.entries(cases)) {
    const tap = await startTap(URL_);
    try {
      await drive(tap);
      passed += 1;
      console.log(`ok ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`not ok ${name}\n    ${String(error.message || error).replace(/\n/g, '\n    ')}`);
    } finally {
      tap.close();
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed ? 1 : 0;
})();
