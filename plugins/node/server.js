// Answers connector.v1 with a connector.
import { status } from "@grpc/grpc-js";
import { answer, collected, describeReply, errorText, message, outcome } from "./wire.js";

/** An error whose text is the author's own, for operators: it goes into the log and onto the console. */
export class Failed extends Error {}

/** Thrown by receipts() and returned(): the signature is not the provider's. */
export class Forged extends Error {}

/** kind names an error without its text, which may hold addresses. */
export function kind(e) {
  const name = String(e?.constructor?.name ?? typeof e);
  return /^[A-Z][A-Z0-9_]*$/.test(e?.code) ? `${name} ${e.code}` : name;
}

/**
 * handlers are the calls of connector.v1. Calls before configure, and after
 * drain, do not reach the connector.
 * @param {object} c what was given to serve()
 * @param {(level: string, msg: string) => void} log
 */
export function handlers(c, log) {
  let stage = "fresh";

  const precondition = (text) => Object.assign(new Error(text), { status: status.FAILED_PRECONDITION });
  const ready = () => {
    if (stage !== "ready") throw precondition(stage === "drained" ? "drained" : "not configured");
  };
  const optional = (name) => {
    if (typeof c[name] !== "function") throw Object.assign(new Error(`this connector has no ${name}`), { status: status.UNIMPLEMENTED });
    ready();
  };

  const calls = {
    Describe: () => describeReply(c.describe(), c),
    async Configure(r) {
      if (stage !== "fresh") throw precondition("configured already");
      stage = "configuring";
      const problems = (await c.configure(JSON.parse(r.settingsJson.length ? r.settingsJson.toString() : "{}"))) ?? [];
      if (problems.some((p) => p.severity !== "WARNING")) return { problems };
      const reply = { problems, webPushKey: c.webPushKey?.() ?? "", mailDomains: c.mailDomains?.() ?? [] };
      stage = "ready";
      return reply;
    },
    async Check(_, time) {
      ready();
      await c.check(time);
      return {};
    },
    async Send(r, time) {
      ready();
      if (r.messages.length === 0) return {};
      return { outcomes: (await c.send(r.messages.map(message), time)).map(outcome) };
    },
    async Receipts(r, time) {
      optional("receipts");
      return answer(await c.receipts(r, time));
    },
    async Returned(r, time) {
      optional("returned");
      return answer(await c.returned(r, time));
    },
    async Collect(r, time) {
      optional("collect");
      return collected(await c.collect(r.ack, time));
    },
    async Forget(r, time) {
      optional("forget");
      await c.forget(r.addresses, time);
      return {};
    },
    async Drain(_, time) {
      const was = stage;
      stage = "drained";
      if (was === "ready") await c.drain?.(time);
      return {};
    },
  };

  const failure = (name, e, ended) => {
    if (e?.status !== undefined && (e.status === status.FAILED_PRECONDITION || e.status === status.UNIMPLEMENTED)) return { code: e.status, details: e.message };
    if (e instanceof Forged) return { code: status.PERMISSION_DENIED, details: "forged" };
    if (e instanceof Failed) return { code: status.UNKNOWN, details: errorText(e.message) };
    log("error", `${name} failed: ${kind(e)}`);
    // Not DEADLINE_EXCEEDED, which means that we hung.
    return { code: ended ? status.ABORTED : status.UNKNOWN, details: `${name} failed: ${kind(e)}` };
  };

  const out = {};
  for (const [name, f] of Object.entries(calls)) {
    out[name] = async (call, done) => {
      // Before the appliance's own deadline, so that the answer still arrives.
      const given = Math.min(Number(call.getDeadline()) - Date.now(), 30_000);
      const end = Date.now() + given - Math.min(Math.max(given / 5, 0), 2000);
      const stop = new AbortController();
      const timer = setTimeout(() => stop.abort(), Math.max(end - Date.now(), 0));
      call.on("cancelled", () => stop.abort());
      try {
        done(null, await f(call.request, { signal: stop.signal, left: () => (end - Date.now()) / 1000 }));
      } catch (e) {
        done(failure(name, e, stop.signal.aborted));
      } finally {
        clearTimeout(timer);
      }
    };
  }
  return out;
}
