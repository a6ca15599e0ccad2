// Opens and makes web push messages by libraries of somebody else's. One request
// a line of JSON in, one answer a line out.
import { createInterface } from "node:readline";
import ece from "http_ece";
import webpush from "web-push";
import jws from "jws";
import { createECDH, createPublicKey } from "node:crypto";

const from64 = (s) => Buffer.from(s, "base64url");

const answers = {
  // http_ece reads what we made.
  open: ({ body, key, auth }) => {
    const dh = createECDH("prime256v1");
    dh.setPrivateKey(from64(key));
    return { text: ece.decrypt(from64(body), { version: "aes128gcm", privateKey: dh, authSecret: from64(auth) }).toString() };
  },
  // web-push makes one, for our reader to be tried on.
  make: ({ p256dh, auth, text, endpoint, vapid }) => {
    const d = webpush.generateRequestDetails({ endpoint, keys: { p256dh, auth } }, text, { vapidDetails: vapid, TTL: 60, urgency: "high", topic: "cart" });
    return { body: d.body.toString("base64url"), headers: d.headers };
  },
  // jws, which web-push signs by, reads our token.
  token: ({ token, key }) => {
    const point = from64(key);
    const jwk = { kty: "EC", crv: "P-256", x: point.subarray(1, 33).toString("base64url"), y: point.subarray(33).toString("base64url") };
    const pem = createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" });
    return { good: jws.verify(token, "ES256", pem), ...jws.decode(token, { json: true }) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  let out;
  try {
    const q = JSON.parse(line);
    out = answers[q.do](q);
  } catch (e) {
    out = { error: String(e) };
  }
  console.log(JSON.stringify(out));
}
