import { Analytics } from '@segment/analytics-node'

const analytics = new Analytics({ writeKey: process.env.CLOISTER_KEY, host: process.env.CLOISTER_URL, flushInterval: 100 })
analytics.on('error', (e) => { console.error(e); process.exitCode = 1 })
let calls = 0
const call = (name, what) => new Promise((done) => { calls++; analytics[name](what, done) })

const context = { ip: '203.0.113.7', timezone: 'Asia/Kolkata', consent: { categoryPreferences: { news: true, Advertising: false } } }
await Promise.all([
  call('identify', { userId: 'u-1', anonymousId: 'anon-1', traits: { name: 'Asha Rao', email: 'asha@shop.example', plan: 'gold' }, context }),
  call('page', { userId: 'u-1', name: 'Home', category: 'Docs', properties: { url: 'https://shop.example/' } }),
  call('screen', { anonymousId: 'anon-1', name: 'Cart', properties: { items: 2 } }),
  call('group', { userId: 'u-1', groupId: 'g-1', traits: { employees: 420 } }),
])
for (let round = 0; round < 4; round++) {
  await Promise.all(Array.from({ length: 5 }, (_, i) =>
    call('track', { userId: 'u-1', event: 'Order Completed', properties: { order_id: `${round}-${i}`, revenue: 25.5, currency: 'INR' } })))
}
await call('alias', { userId: 'u-1', previousId: 'anon-2' })
await analytics.closeAndFlush()
console.log(calls, 'calls')
