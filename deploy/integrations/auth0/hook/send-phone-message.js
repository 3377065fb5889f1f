/**
 * Auth0 Hook "Send Phone Message" (legacy tenants): hands the message to the SMS gateway.
 * Secrets: GATEWAY_URL, for example https://sms.example.com, and GATEWAY_KEY.
 */
module.exports = function (recipient, text, context, cb) {
  const axios = require('axios').default;
  const secrets = context.webtask.secrets;

  // context.webtask holds the secrets and the metadata is nobody's business here: neither leaves Auth0.
  const { webtask, user, ...rest } = context;
  const { app_metadata, user_metadata, identities, ...person } = user || {};

  axios
    .post(
      `${secrets.GATEWAY_URL.replace(/\/+$/, '')}/hooks/auth0`,
      { recipient, text, context: { ...rest, user: person } },
      // The gateway answers within 8 s; Auth0 stops the hook after 20 s.
      { timeout: 10000, headers: { authorization: `Bearer ${secrets.GATEWAY_KEY}` } }
    )
    .then((answer) => cb(null, { MessageID: answer.data && answer.data.id }))
    // A new Error: axios' own carries the request with the key, and Auth0 logs every property.
    .catch((error) => cb(new Error(reason(error))));

  function reason(error) {
    if (!error.response) return `gateway unreachable: ${error.code || error.message}`;
    const problem = error.response.data || {};
    return `gateway ${error.response.status} ${problem.code || ''}: ${problem.detail || ''} ${problem.request_id || ''}`.trim();
  }
};
