/**
 * Auth0 Action, trigger "send-phone-message" (MFA by SMS): hands the message to the SMS gateway.
 * Secrets: GATEWAY_URL, for example https://sms.example.com, and GATEWAY_KEY. No dependencies.
 */
exports.onExecuteSendPhoneMessage = async (event) => {
  // Only what routing, templates and limits can use leaves Auth0; never event.secrets, never metadata of the user.
  const { client, message_options, request, user, organization, custom_domain } = event;
  const { user_id, name, given_name, email } = user;
  const { ip, language, user_agent, geoip } = request;
  const body = {
    client, message_options,
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
    throw new Error(`gateway unreachable: ${error.name}`);
  }
  if (answer.ok) return;

  const problem = await answer.json().catch(() => ({}));
  throw new Error(`gateway ${answer.status} ${problem.code || ''}: ${problem.detail || ''} ${problem.request_id || ''}`.trim());
};
