// Verification of hookturn's signatures in Node.js, with its own modules only.
'use strict'
const crypto = require('node:crypto')

const equal = (a, b) => {
  const [x, y] = [Buffer.from(a), Buffer.from(b)]
  return x.length === y.length && crypto.timingSafeEqual(x, y)
}

// verify reports whether a request was signed with the secret.
// headers: names in lower case, as req.headers has them; body: a Buffer with the bytes that were received.
function verify (scheme, headers, body, secret, now = Date.now() / 1000) {
  if (scheme === 'hub-sha1' || scheme === 'hub-sha256') {
    const name = scheme === 'hub-sha1' ? 'x-hub-signature' : 'x-hub-signature-256'
    const algorithm = scheme.slice('hub-'.length)
    const want = algorithm + '=' + crypto.createHmac(algorithm, secret).update(body).digest('hex')
    return equal(want, headers[name] ?? '')
  }
  const id = headers['webhook-id']
  const stamp = headers['webhook-timestamp'] ?? ''
  if (!id || !/^\d+$/.test(stamp) || Math.abs(now - Number(stamp)) > 300) return false
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : secret
  const hmac = crypto.createHmac('sha256', key).update(`${id}.${stamp}.`).update(body)
  const want = 'v1,' + hmac.digest('base64')
  let valid = false
  for (const sent of (headers['webhook-signature'] ?? '').split(' ')) valid = equal(want, sent) || valid
  return valid
}

module.exports = { verify }
