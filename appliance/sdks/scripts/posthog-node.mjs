import { PostHog } from 'posthog-node'

const posthog = new PostHog(process.env.CLOISTER_KEY, { host: process.env.CLOISTER_URL, flushAt: 100, flushInterval: 60000, fetchRetryDelay: 500 })
let calls = 0
const call = (name, what) => { calls++; posthog[name](what) }

call('identify', { distinctId: 'u-1', properties: { $set: { name: 'Asha Rao', email: 'asha@shop.example', plan: 'gold' }, $anon_distinct_id: 'anon-1' } })
call('capture', { distinctId: 'u-1', event: '$pageview', properties: { $current_url: 'https://shop.example/' } })
call('groupIdentify', { groupType: 'company', groupKey: 'g-1', properties: { employees: 420 } })
await posthog.flush()
for (let round = 0; round < 4; round++) {
  for (let i = 0; i < 5; i++) {
    call('capture', { distinctId: 'u-1', event: 'Order Completed', properties: { order_id: `${round}-${i}`, revenue: 25.5, currency: 'INR' }, groups: { company: 'g-1' } })
  }
  await posthog.flush()
}
call('alias', { distinctId: 'u-1', alias: 'anon-2' })
await posthog.shutdown()
console.log(calls, 'calls')
