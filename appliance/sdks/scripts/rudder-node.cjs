const RudderAnalytics = require('@rudderstack/rudder-sdk-node')

const analytics = new RudderAnalytics(process.env.CLOISTER_KEY, { dataPlaneUrl: process.env.CLOISTER_URL, flushAt: 5, flushInterval: 100 })
let calls = 0
const call = (name, what) => new Promise((done, failed) => { calls++; analytics[name](what, (e) => (e ? failed(e) : done())) })

async function main() {
  const context = { timezone: 'Asia/Kolkata', traits: { city: 'Pune' } }
  await call('identify', { userId: 'u-1', traits: { name: 'Asha Rao', email: 'asha@shop.example', plan: 'gold' }, context })
  await Promise.all([
    call('page', { userId: 'u-1', name: 'Home', properties: { url: 'https://shop.example/' } }),
    call('screen', { userId: 'u-1', name: 'Cart', properties: { items: 2 } }),
    call('group', { userId: 'u-1', groupId: 'g-1', traits: { employees: 420 } }),
  ])
  for (let round = 0; round < 4; round++) {
    await Promise.all(Array.from({ length: 5 }, (_, i) =>
      call('track', { userId: 'u-1', event: 'Order Completed', properties: { order_id: `${round}-${i}`, revenue: 25.5, currency: 'INR' } })))
  }
  await call('alias', { userId: 'u-1', previousId: 'anon-2' })
  console.log(calls, 'calls')
}
main().then(() => process.exit(0), (e) => { console.error(e); process.exit(1) })
