// cloister.js: reads its settings from the element that loads it, and puts the
// client where the page looks for it. No eval, nothing inline, no cookie.
import { Client, type Env } from "./client";
import { pages } from "./pages";
import { subscribe, unsubscribe, renewed } from "./push";
import { openStore } from "./store";

declare global {
  interface Window {
    cloister?: unknown;
  }
}

const element = document.currentScript as HTMLScriptElement | null;

if (element?.dataset.key) {
  const key = element.dataset.key;
  const host = element.dataset.host || new URL(element.src).origin;
  const warn = (...what: unknown[]): void => console.warn("cloister:", ...what);
  const hex = (): string => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  const url = host + "/cloister/v1/";
  const env: Env = {
    now: Date.now,
    random: hex,
    warn,
    online: () => navigator.onLine !== false,
    ask: "ask" in element.dataset,
    origin() {
      const out: Record<string, string> = {};
      new URLSearchParams(location.search).forEach((v, k) => k.startsWith("utm_") && (out[k] = v));
      if (document.referrer) out.referrer = new URL(document.referrer).origin;
      return out;
    },
    gpc: () => !!(navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl,
    // text/plain spares the browser a question beforehand.
    async post(body) {
      const r = await fetch(url + "collect", { method: "POST", body, headers: { "Content-Type": "text/plain" }, credentials: "omit", keepalive: body.length < 6e4 });
      const answer = (await r.json().catch(() => ({}))) as { refused?: unknown[] };
      return { status: r.status, after: r.headers.get("Retry-After"), refused: answer.refused };
    },
    beacon: (body) => !!navigator.sendBeacon?.(url + "collect", body),
    async alone(work) {
      if (!navigator.locks) return work().then(() => true); // a repeat is harmless
      return navigator.locks.request("cloister:" + key, { ifAvailable: true }, (lock) => (lock ? work().then(() => true) : false));
    },
    later: (ms, work) => void setTimeout(work, ms),
    async settings(anonymous) {
      const q = new URLSearchParams({ key, ...(anonymous && { anonymous }) });
      const r = await fetch(url + "settings?" + q, { credentials: "omit" });
      if (!r.ok) throw r.status;
      return r.json();
    },
  };
  let area: Storage | null = null;
  try {
    area = localStorage;
  } catch {
    // a browser that refuses it
  }
  const client = new Client(openStore(`cloister:${key}:`, area), env, key);
  const worker = element.dataset.worker || "/cloister-sw.js";
  const api = {
    track: client.track.bind(client),
    page: (props?: Record<string, unknown>): void => client.track("Page Viewed", { url: location.origin + location.pathname, title: document.title, ...props }),
    identify: client.identify.bind(client),
    profile: client.profile.bind(client),
    alias: client.alias.bind(client),
    logout: client.logout.bind(client),
    consent: client.consent.bind(client),
    optOut: client.optOut.bind(client),
    optIn: client.optIn.bind(client),
    collects: client.collects.bind(client),
    settings: client.settings.bind(client),
    anonymous: client.anonymous.bind(client),
    flush: client.flush.bind(client),
    subscribe: () => subscribe(client, worker),
    unsubscribe: () => unsubscribe(client, worker),
    /** Calls by name: what a page pushed before this was there, and whatever it pushes later. */
    push(...calls: [string, ...unknown[]][]): void {
      for (const [name, ...args] of calls) {
        const call = (api as Record<string, unknown>)[name];
        if (typeof call === "function" && name !== "push") (call as (...a: unknown[]) => unknown)(...args);
        else warn("there is no", name);
      }
    },
  };
  const before = window.cloister;
  window.cloister = api;
  if (Array.isArray(before)) api.push(...before);
  const begin = (): void => void client.start();
  begin();
  addEventListener("online", begin);
  // The last event that every browser gives to a page that goes.
  addEventListener("pagehide", () => client.leave());
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && client.leave());
  if ("pages" in element.dataset) pages(() => api.page());
  void renewed(client, worker);
} else console.warn("cloister: the script element needs data-key");
