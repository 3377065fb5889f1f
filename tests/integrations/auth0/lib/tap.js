'use strict';
// A pass-through between the glue and the gateway that remembers what the glue sent, so that leaks can be seen.
const http = require('http');

/** Starts on loopback in front of `upstream`; returns `{url, sent: [{path, headers, body}], close}`. */
async function startTap(upstream) {
  const sent = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      sent.push({ path: request.url, headers: request.headers, body: body.toString() });
      const { host, ...headers } = request.headers;
      const onward = http.request(new URL(request.url, upstream), { method: request.method, headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => response.destroy());
      onward.end(body);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    sent,
    close: () => { server.closeAllConnections(); server.close(); },
  };
}

module.exports = { startTap };
