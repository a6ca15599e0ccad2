// Standard Webhooks' own library, asked by lines of JSON on standard input
// whether it takes a request: its secret, headers and body.
import { createInterface } from 'node:readline'
import { Webhook } from 'standardwebhooks'

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line)
  let answer
  try {
    answer = { payload: new Webhook(secret).verify(body, headers) }
  } catch (error) {
    answer = { error: error.message }
  }
  console.log(JSON.stringify(answer))
}
