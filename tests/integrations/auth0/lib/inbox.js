'use strict';
// Reads codes back from the mock provider's inbox on the ops listener.

class Inbox {
  constructor(opsUrl, token) {
    this.opsUrl = opsUrl;
    this.headers = token ? { authorization: `Bearer ${token}` } : {};
  }

  /** Throws unless `code` is the newest one for `to` within `ms`; an older one of an earlier run may still stand there. */
  async expectCode(to, code, ms = 10000) {
    const until = Date.now() + ms;
    let seen;
    do {
      const wait = Math.max(1, Math.ceil((until - Date.now()) / 1000));
      const url = `${this.opsUrl}/inbox/v1/code?to=${encodeURIComponent(to)}&wait=${wait}s`;
      const answer = await fetch(url, { headers: this.headers, signal: AbortSignal.timeout(ms + 5000) });
      seen = `${answer.status} ${(await answer.text()).trim()}`;
      if (seen === `200 ${code}`) return;
      if (answer.status !== 200 && answer.status !== 404) break;
      await new Promise((resolve) => setTimeout(resolve, 200));
    } while (Date.now() < until);
    throw new Error(`the inbox of ${to} answered "${seen.slice(0, 300)}", not the code ${code}`);
  }
}

module.exports = { Inbox };
