/**
 * Auth0 Action, trigger "custom-phone-provider" (Branding > Phone Provider > Custom): hands every text of the tenant to
 * the SMS gateway. Secrets: GATEWAY_URL, for example https://sms.example.com, and GATEWAY_KEY. No dependencies.
 */
exports.onExecuteCustomPhoneProvider = async (event, api) => {
  // Only what routing, templates and limits can use leaves Auth0; never event.secrets, never metadata of the user.
  const { client, notification, request, user, organization, custom_domain } = event;
  const { user_id, name, given_name, email } = user || {};
  const { ip, language, user_agent, geoip } = request || {};
  const body = {
    client, notification,
    organization: organization && { id: organization.id, name: organization.name, display_name: organization.display_name },
    custom_domain: custom_domain && { domain: custom_domain.domain },
    request: { ip, language, user_agent, geoip: { countryCode: geoip && geoip.countryCode } },
    user: { user_id, name, given_name, email },
  };

  let answer;
  try {
    answer = await fetch(`${event.secrets.GATEWAY_URL.replace(/\/+$/, '')}/hooks/auth0`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${event.secrets.GATEWAY_KEY}` },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10000), // the gateway answers within 8 s; Auth0 stops the Action after 20 s
    });
  } catch (error) {
    return api.notification.retry(`gateway unreachable: ${error.name}`);
  }
  if (answer.ok) return;

  const problem = await answer.json().catch(() => ({}));
  const why = `gateway ${answer.status} ${problem.code || ''}: ${problem.detail || ''} ${problem.request_id || ''}`.trim().slice(0, 1024);
  // Auth0 tries again up to five times within minutes: for what passes by itself, not for what was refused for good.
  if (answer.status === 429 || answer.status >= 500) api.notification.retry(why);
  else api.notification.drop(why);
};
