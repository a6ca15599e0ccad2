// Twilio's own library, asked by lines of JSON on standard input: how it would
// sign a callback, whether it takes a signature, and which request it makes of a
// message.
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'

const twilio = createRequire(import.meta.url)('twilio')
const { getExpectedTwilioSignature } = createRequire(import.meta.url)('twilio/lib/webhooks/webhooks')

async function answer (ask) {
  if (ask.sign) return { signature: getExpectedTwilioSignature(ask.token, ask.sign, ask.params) }
  if (ask.validate) return { valid: twilio.validateRequest(ask.token, ask.signature, ask.validate, ask.params) }
  let made
  const httpClient = {
    async request (r) {
      made = { method: r.method, url: r.uri, user: r.username, password: r.password, form: r.data }
      return { statusCode: 201, body: { sid: 'SM1', status: 'queued' } }
    }
  }
  await twilio(ask.account, ask.token, { httpClient }).messages.create(ask.create)
  return made
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line))))
}
