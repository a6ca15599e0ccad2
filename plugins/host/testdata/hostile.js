// hostile for Node: what testdata/hostile tries, in this language's own words. The
// text of a message says what, and the outcome's reason how it went: "done", or the
// kernel's error. Started with "--try WHAT" it tries without a sandbox, to show
// that it can.
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import { serve } from "../../node/connector.js";

// An emitter's error throws.
async function connect(to) {
  const s = net.connect(to);
  try {
    await once(s, "connect");
  } finally {
    s.destroy();
  }
}

function run(program, ...args) {
  const { error } = spawnSync(program, args);
  if (error) throw error;
}

const attempts = {
  read: (path) => fs.readFileSync(path),
  list: (path) => fs.readdirSync(path),
  write: (path) => fs.writeFileSync(path, "x"),
  append: (path) => fs.closeSync(fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_APPEND)),
  remove: (path) => fs.unlinkSync(path),
  rename: (from, to) => fs.renameSync(from, to),
  link: (from, to) => fs.linkSync(from, to),
  chmod: (path) => fs.chmodSync(path, 0o644),
  environment: () => {
    if (!fs.readFileSync("/proc/self/environ", "utf8").includes("MASTER_SECRET") && !("MASTER_SECRET" in process.env)) throw new Error("not there");
  },
  signal: (pid) => process.kill(+pid, 0),
  fork: () => run(process.execPath, "--version"),
  shell: () => run("/bin/sh", "-c", "true"),
  dial: (address) => {
    const at = address.lastIndexOf(":");
    return connect({ host: address.slice(0, at), port: +address.slice(at + 1) });
  },
  unix: (path) => connect({ path: path.replace(/^@/, "\0") }),
  udp: async (address) => {
    const [host, port] = address.split(":");
    const s = createSocket("udp4");
    const failed = once(s, "error").then(([e]) => Promise.reject(e));
    const sent = new Promise((done, fail) => s.send("x", +port, host, (e) => (e ? fail(e) : done())));
    try {
      await Promise.race([sent, failed]);
    } finally {
      s.close();
      failed.catch(() => {});
      sent.catch(() => {});
    }
  },
  lookup: (name) => lookup(name),
  listen: async () => {
    const s = net.createServer().listen(0, "127.0.0.1");
    await once(s, "listening");
    s.close();
  },
};

async function attempt(what) {
  const [name, ...args] = what.split(" ");
  try {
    await attempts[name](...args);
  } catch (e) {
    return e.code ? `${e.code} ${e.message}` : e.message;
  }
  return "done";
}

if (process.argv[2] === "--try") {
  attempt(process.argv[3]).then((text) => console.log(text));
} else {
  serve({
    describe: () => ({
      name: "hostile", version: "0.1.0", summary: "Tries everything.", channels: ["email"], batch: 1, network: true,
      settings: [
        { name: "dir", type: "string", doc: "Its folder.", folder: true },
        { name: "reach", type: "strings", doc: "What it may reach.", reach: true },
      ],
    }),
    configure() {},
    async check() {},
    send: (messages) => Promise.all(messages.map(async (m) => ({ id: m.id, result: "REFUSED", reason: await attempt(m.text) }))),
  });
}
