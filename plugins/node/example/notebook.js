// notebook appends messages to a file: the smallest connector for Node.
import { appendFile, readdir } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { Failed, serve } from "../connector.js";

// Whether a line break is where it could end a header.
const broken = (m) => [m.to, m.toName, m.subject, ...m.headers.flatMap((h) => [h.name, h.value])].some((text) => /[\r\n]/.test(text));

serve({
  describe: () => ({
    name: "notebook", version: "0.1.0", summary: "Writes short messages into a file.", channels: ["sms"], batch: 100,
    settings: [{ name: "folder", type: "string", doc: "The folder of the file.", required: true, folder: true }],
  }),

  configure(settings) {
    this.folder = settings.folder ?? "";
    if (!isAbsolute(this.folder)) return [{ path: ["folder"], summary: "not an absolute path", detail: "write a path that begins with /" }];
  },

  async check() {
    await readdir(this.folder).catch(() => {
      throw new Failed("the folder cannot be read");
    });
  },

  async send(messages, { left }) {
    const outcomes = [];
    for (const m of messages) outcomes.push(await this.one(m, left));
    return outcomes;
  },

  async one(m, left) {
    const { id } = m;
    if (m.channel !== "sms") return { id, result: "REFUSED", class: "config", reason: "only sms" };
    if (!/^\+[0-9]{5,15}$/.test(m.to)) return { id, result: "REFUSED", class: "address", reason: "not a number" };
    if (broken(m)) return { id, result: "REFUSED", class: "content", reason: "a line break in a header" };
    if (left() <= 0) return { id, result: "AGAIN" };
    await appendFile(join(this.folder, "messages.jsonl"), JSON.stringify({ id, to: m.to, text: m.text }) + "\n");
    return { id, result: "ACCEPTED" };
  },
});
