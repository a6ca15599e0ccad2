// A message centre made of the library smpp. What it sees goes to standard
// output, a JSON object a line; what it shall do comes as such on standard input.
import smpp from "smpp"
import { createInterface } from "node:readline"
import { readFileSync } from "node:fs"

const tell = what => console.log(JSON.stringify(what))
const [cert, key] = process.argv.slice(2)
let throttle = 0, form = "tlv", next = 0x1a2b, receiver

const server = smpp.createServer(cert ? { cert: readFileSync(cert), key: readFileSync(key) } : {}, session => {
  const bind = pdu => {
    const good = pdu.password === "secret"
    tell({ saw: pdu.command, system_id: pdu.system_id, version: pdu.interface_version, good })
    session.send(pdu.response(good ? { system_id: "npm" } : { command_status: smpp.ESME_RINVPASWD }))
    if (good && pdu.command !== "bind_transmitter") receiver = session
  }
  session.on("bind_transceiver", bind)
  session.on("bind_transmitter", bind)
  session.on("bind_receiver", bind)
  session.on("enquire_link", pdu => { tell({ saw: "enquire_link" }); session.send(pdu.response()) })
  session.on("unbind", pdu => { tell({ saw: "unbind" }); session.send(pdu.response()); session.close() })
  session.on("error", e => tell({ saw: "error", text: String(e) }))
  session.on("close", () => tell({ saw: "close" }))
  session.on("deliver_sm_resp", pdu => tell({ saw: "deliver_sm_resp", status: pdu.command_status }))
  session.on("submit_sm", pdu => {
    if (throttle > 0) {
      throttle--
      session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }))
      return
    }
    const m = pdu.message_payload ?? pdu.short_message
    const udh = m.udh?.[0]
    const sar = pdu.sar_total_segments && [pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum]
    const id = next++
    tell({
      saw: "submit_sm", to: pdu.destination_addr, from: pdu.source_addr, ton: pdu.source_addr_ton, coding: pdu.data_coding, text: m.message,
      part: udh ? [udh[2], udh[3], udh[4]] : sar || null, payload: !!pdu.message_payload, validity: pdu.validity_period ? Math.round((pdu.validity_period - Date.now()) / 3.6e6) : 0,
      tlvs: Object.fromEntries([5120, 5121, 5122].filter(t => pdu[t]).map(t => [t, String(pdu[t])])),
    })
    // Hexadecimal in the response, decimal in the receipt.
    session.send(pdu.response({ message_id: id.toString(16).toUpperCase() }))
    if (!pdu.registered_delivery) return
    const state = m.message.includes("fail") ? ["UNDELIV", 5] : ["DELIVRD", 2]
    const receipt = { source_addr: pdu.destination_addr, source_addr_ton: 1, source_addr_npi: 1, destination_addr: pdu.source_addr, esm_class: 4 }
    if (form === "text") receipt.short_message = `id:${id} sub:001 dlvrd:001 submit date:2601011200 done date:2601011201 stat:${state[0]} err:000 text:x`
    else Object.assign(receipt, { receipted_message_id: String(id), message_state: state[1] })
    receiver?.deliver_sm(receipt)
  })
})

server.listen(0, "127.0.0.1", () => tell({ saw: "listening", port: server.address().port }))

createInterface({ input: process.stdin }).on("line", line => {
  const c = JSON.parse(line)
  if ("throttle" in c) throttle = c.throttle
  if ("form" in c) form = c.form
  if ("text" in c) receiver.deliver_sm({ source_addr: c.from, source_addr_ton: 1, source_addr_npi: 1, destination_addr: "56767", short_message: c.text, data_coding: /^[ -~]*$/.test(c.text) ? 0 : 8 })
  if (c.enquire) receiver.enquire_link(pdu => tell({ saw: "enquire_link_resp", status: pdu.command_status }))
  if (c.unbind) receiver.unbind(pdu => { tell({ saw: "unbind_resp", status: pdu.command_status }); receiver.close() })
}).on("close", () => process.exit(0))
