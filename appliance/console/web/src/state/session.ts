// Who works here, at which publisher, and what that publisher knows.
import { computed, signal } from "@preact/signals";
import { at, get, whenSignedOut, ApiError } from "../api/client";
import type { Me, Publisher } from "../api/types";
import { go, match, place } from "./router";

export const me = signal<Me | null>(null);
export const starting = signal(true);
export const startError = signal<unknown>(null);
export const publisher = signal<Publisher | null>(null);
export const publisherError = signal<unknown>(null);

export const role = computed(() => {
  const name = publisherName.value;
  return me.value?.publishers.find((p) => p.name === name)?.role || me.value?.operator.role || "";
});

// can says what the operator's role here lets them do; the server says it again.
export type Deed = "ask" | "people" | "campaigns" | "erase" | "mailbox" | "audit" | "tokens" | "operators" | "check" | "held";
const deeds: { [role: string]: Deed[] } = {
  analyst: ["ask", "people"],
  marketer: ["ask", "people", "campaigns"],
  admin: ["ask", "people", "campaigns", "erase", "mailbox", "audit", "tokens", "check", "held"],
  auditor: ["audit"],
};
export function can(deed: Deed): boolean {
  if (deed === "operators") return me.value?.operator.role === "admin";
  const roles = publisherName.value ? [role.value] : [me.value?.operator.role ?? "", ...(me.value?.publishers.map((p) => p.role) ?? [])];
  return roles.some((r) => deeds[r]?.includes(deed));
}

// publisherName is the one that the address names.
export const publisherName = computed(() => {
  const m = /^\/p\/([^/]+)/.exec(place.value.path);
  if (!m) return "";
  try {
    return decodeURIComponent(m[1]!);
  } catch {
    return "";
  }
});

const lastPublisher = "cloister.publisher";

export async function start() {
  starting.value = true;
  startError.value = null;
  try {
    me.value = await get<Me>("/v1/me");
  } catch (e) {
    me.value = null;
    if (!(e instanceof ApiError && e.status === 401)) startError.value = e;
  } finally {
    starting.value = false;
  }
}

let loading = "";
let loadedAt = 0;
const fresh = 20_000; // milliseconds; events and properties appear as they arrive

export async function loadPublisher(name: string, anew = false) {
  if (loading === name && !anew && Date.now() - loadedAt < fresh) return;
  loading = name;
  loadedAt = Date.now();
  if (publisher.value?.name !== name) publisher.value = null;
  publisherError.value = null;
  try {
    const p = await get<Publisher>(at`/v1/publishers/${name}`);
    if (loading === name) publisher.value = clean(p);
    try {
      localStorage.setItem(lastPublisher, name);
    } catch {
      // not remembered then
    }
  } catch (e) {
    if (loading === name) {
      loading = "";
      publisherError.value = e;
    }
  }
}

// Lists that are empty may come as null.
function clean(p: Publisher): Publisher {
  return { ...p, purposes: p.purposes ?? [], channels: p.channels ?? [], events: p.events ?? [], profile: p.profile ?? [] };
}

// home is where an operator who asked for nothing in particular goes.
export function home(): string {
  const all = me.value?.publishers ?? [];
  let last: string | null = null;
  try {
    last = localStorage.getItem(lastPublisher);
  } catch {
    // the first then
  }
  const p = all.find((x) => x.name === last) ?? all[0];
  return p ? at`/p/${p.name}/live` : "/settings";
}

export function signOutLocally() {
  me.value = null;
  publisher.value = null;
  loading = "";
}

whenSignedOut(() => {
  if (!me.value) return;
  signOutLocally();
  const { path, hash } = place.value;
  if (match("/sign-in", path) || match("/setup", path)) return;
  wanted = path + (hash ? "#" + hash : "");
  go("/sign-in", true);
});

// wanted is where the operator was going before they had to sign in.
let wanted = "";
export function remember(path: string) {
  wanted = path;
}
export function takeWanted(): string {
  const w = wanted;
  wanted = "";
  return w;
}

// link is a page of the present publisher.
export const link = (rest: string) => `/p/${encodeURIComponent(publisherName.value)}/${rest}`;
// api is a path of the present publisher.
export const api = (rest: string) => `/v1/publishers/${encodeURIComponent(publisherName.value)}/${rest}`;
