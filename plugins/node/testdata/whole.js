// whole does everything that a connector can, and fails in every way, for kits_test.go.
import { writeFileSync } from "node:fs";
import { Failed, Forged, serve } from "../connector.js";

serve({
  describe: () => ({
    name: "whole", version: "1.0.0", summary: "For tests.", channels: ["push"],
    settings: [{ name: "folder", type: "string", doc: "A folder.", folder: true }],
    blocks: [{ name: "more", doc: "More.", settings: [{ name: "n", type: "number", doc: "N.", default: 7 }] }],
  }),

  configure(settings) {
    this.folder = settings.folder;
    return [{ severity: "WARNING", path: ["more", "n"], summary: "odd" }];
  },
  webPushKey: () => "KEY",
  mailDomains: () => ["bounce.example"],

  check() {
    throw new Failed("nobody\nthere");
  },

  async send(messages, { signal }) {
    if (messages[0].text === "fail") throw new RangeError("cannot reach ana@example.com");
    if (messages[0].text === "late") {
      await new Promise((done) => signal.addEventListener("abort", done));
      throw signal.reason;
    }
    return messages.map((m) => ({
      id: m.id, result: m.text === "again" ? "AGAIN" : "REFUSED", class: "content", retryAfter: m.text === "again" ? 1.5 : undefined,
      reason: [m.expires.toISOString().replace(".000", ""), m.push.sound, m.push.badge, m.files[0].content.toString()].join(" ") + "\n" + "ü".repeat(5000),
    }));
  },

  receipts({ headers, body }) {
    if (!headers.some((h) => h.name === "X-Sign" && h.value === "signed")) throw new Forged();
    return {
      status: 202, headers: [{ name: "Content-Type", value: "text/xml" }], body: `<${body}>`,
      receipts: [
        { messageId: "m1", kind: "delivered", at: new Date(5000) },
        { providerId: "p1", kind: "bounced", class: "other", reason: "a\nb" + "ü".repeat(5000) },
      ],
    };
  },

  returned({ to }) {
    if (!to.startsWith("b+")) throw new Forged();
    return [{ messageId: to.slice(2).split("@")[0], kind: "bounced", class: "address" }];
  },

  collect: (ack) => (ack === "1" ? { receipts: [], token: "2" } : { receipts: [{ providerId: "p1", kind: "uninstalled", gone: "stale" }], token: "1" }),

  forget([address]) {
    if (address !== "ana@example.com") throw new TypeError(address);
  },

  drain() {
    writeFileSync(this.folder + "/drained", "");
  },
});
