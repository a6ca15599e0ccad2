// What every page here knows: where to send, the key, which visit this is.
const asked = new URLSearchParams(location.search)
const shop = { url: asked.get('url'), host: new URL(asked.get('url')).host, key: asked.get('key'), visit: Number(asked.get('visit')), calls: 0 }
// orders gives the orders of a round: the same five in every script.
shop.orders = (round) => Array.from({ length: 5 }, (_, i) => ({ order_id: `${round}-${i}`, revenue: 25.5, currency: 'INR' }))
// until looks until something is so.
shop.until = async (ok) => { while (!ok()) await new Promise((r) => setTimeout(r, 50)) }
shop.done = () => { window.calls = shop.calls }
