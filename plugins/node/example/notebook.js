// notebook appends messages to a file: the smallest connector for Node.
import { appendFile, readdir } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { Failed, serve } from "../connector.js";

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

  async one({ id, channel, to, text }, left) {
    if (channel !== "sms") return { id, result: "REFUSED", class: "config", reason: "only sms" };
    if (!/^\+[0-9]{5,15}$/.test(to)) return { id, result: "REFUSED", class: "address", reason: "not a number" };
    if (left() <= 0) return { id, result: "AGAIN" };
    await appendFile(join(this.folder, "messages.jsonl"), JSON.stringify({ id, to, text }) + "\n");
    return { id, result: "ACCEPTED" };
  },
});
