const { randomUUID } = require('node:crypto')
const Mixpanel = require('mixpanel')

const url = new URL(process.env.CLOISTER_URL)
const mixpanel = Mixpanel.init(process.env.CLOISTER_KEY, { host: url.host, protocol: url.protocol.slice(0, -1), verbose: true })
let calls = 0
// The library reports what was not answered and leaves it at that: the app calls again.
async function call(f) {
  for (let wait = 100; ; wait *= 2) {
    calls++
    const error = await new Promise((done) => f((e) => done(Array.isArray(e) ? e[0] : e)))
    if (!error) return
    if (wait > 6000) throw error
    await new Promise((r) => setTimeout(r, wait))
  }
}

async function main() {
  await call((done) => mixpanel.people.set('u-1', { $name: 'Asha Rao', $email: 'asha@shop.example', plan: 'gold' }, done))
  await call((done) => mixpanel.people.increment('u-1', 'visits', 3, done))
  await call((done) => mixpanel.track('Product Viewed', { distinct_id: 'u-1', $insert_id: randomUUID(), sku: 'H-118' }, done))
  for (let round = 0; round < 4; round++) {
    const orders = Array.from({ length: 5 }, (_, i) => ({
      event: 'Order Completed', properties: { distinct_id: 'u-1', $insert_id: randomUUID(), time: new Date(), order_id: `${round}-${i}`, revenue: 25.5, currency: 'INR' },
    }))
    await call((done) => mixpanel.track_batch(structuredClone(orders), done))
  }
  await call((done) => mixpanel.alias('u-1', 'anon-2', done))
  console.log(calls, 'calls')
}
main().then(() => process.exit(0), (e) => { console.error(e); process.exit(1) })
