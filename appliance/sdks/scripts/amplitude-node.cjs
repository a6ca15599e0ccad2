const { randomUUID } = require('node:crypto')
const amplitude = require('@amplitude/analytics-node')

const who = { user_id: 'u-1', device_id: 'dev-1' }
let calls = 0
// The library sends again what was answered 5xx, and reports with code 0 what was
// not answered at all: then the app calls again, with the same insert_id.
async function call(f) {
  const options = { ...who, insert_id: randomUUID() }
  for (let wait = 100; ; wait *= 2) {
    calls++
    const { code, message } = await f({ ...options }).promise
    if (code === 200) return
    if (code !== 0 || wait > 6000) throw new Error(`${code} ${message}`)
    await new Promise((r) => setTimeout(r, wait))
  }
}

async function main() {
  await amplitude.init(process.env.CLOISTER_KEY, {
    serverUrl: `${process.env.CLOISTER_URL}/2/httpapi`, flushIntervalMillis: 100, flushQueueSize: 100, logLevel: amplitude.Types.LogLevel.None,
  }).promise
  await Promise.all([
    call((o) => amplitude.identify(new amplitude.Identify().set('name', 'Asha Rao').set('email', 'asha@shop.example').setOnce('plan', 'gold').add('visits', 3), o)),
    call((o) => amplitude.track('Product Viewed', { sku: 'H-118' }, o)),
    call((o) => amplitude.setGroup('company', 'g-1', o)),
  ])
  for (let round = 0; round < 4; round++) {
    await Promise.all(Array.from({ length: 5 }, (_, i) =>
      call((o) => amplitude.track('Order Completed', { order_id: `${round}-${i}`, revenue: 25.5, currency: 'INR' }, o))))
  }
  console.log(calls, 'calls')
}
main().then(() => process.exit(0), (e) => { console.error(e); process.exit(1) })
