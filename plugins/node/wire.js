// Between what authors write and what connector.v1 carries. Bounds are those of
// plugins/connectorpb.

const maxReason = 200;
const maxProviderID = 256;
const maxError = 1024;
const maxCollected = 1000;

/** clean makes a text one line without control characters, cut to so many bytes of UTF-8. */
export function clean(text, max) {
  const bytes = Buffer.from(String(text ?? "").slice(0, 4 * max).replace(/[\p{Cc}\p{Cf}\s]+/gu, " ").trim());
  let end = Math.min(max, bytes.length);
  while (end < bytes.length && (bytes[end] & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end).toString().trimEnd();
}

export const errorText = (text) => clean(text, maxError);

const toDate = (t) => (t ? new Date(t.seconds * 1000 + t.nanos / 1e6) : null);
const seconds = (s) => ({ seconds: Math.floor(s), nanos: Math.floor((s % 1) * 1e9) });
const fromDate = (d) => seconds(d.getTime() / 1000);

/** describeReply is what describe() gave, with what the connector can do. */
export function describeReply(d, c) {
  const setting = (s) => ({ ...s, defaultJson: s.default === undefined ? undefined : Buffer.from(JSON.stringify(s.default)) });
  const can = (call) => typeof c[call] === "function";
  return {
    description: d,
    schema: {
      settings: (d.settings ?? []).map(setting),
      blocks: (d.blocks ?? []).map((b) => ({ ...b, settings: (b.settings ?? []).map(setting) })),
    },
    receives: can("receipts"), forgets: can("forget"), returns: can("returned"), collects: can("collect"),
  };
}

/** message gives times as dates. */
export const message = (m) => ({ ...m, expires: toDate(m.expires), addressSince: toDate(m.addressSince) });

/** outcome is cut to what the appliance keeps. */
export const outcome = (o) => ({
  ...o,
  providerId: clean(o.providerId, maxProviderID),
  reason: clean(o.reason, maxReason),
  retryAfter: o.retryAfter > 0 ? seconds(o.retryAfter) : undefined,
});

const receipt = (r) => ({
  ...r,
  messageId: clean(r.messageId, maxProviderID),
  providerId: clean(r.providerId, maxProviderID),
  reason: clean(r.reason, maxReason),
  at: r.at ? fromDate(r.at) : undefined,
});

/** answer is a list of receipts, or an object with receipts, status, headers and body. */
export function answer(a) {
  const all = Array.isArray(a) ? { receipts: a } : (a ?? {});
  return { ...all, receipts: (all.receipts ?? []).map(receipt), body: Buffer.from(all.body ?? "") };
}

/** collected is what collect() gave; more than the appliance takes is the connector's fault. */
export function collected(a) {
  const receipts = (a?.receipts ?? []).map(receipt);
  if (receipts.length > maxCollected) throw new RangeError(`more than ${maxCollected} receipts`);
  return { receipts, token: a?.token ?? "" };
}
