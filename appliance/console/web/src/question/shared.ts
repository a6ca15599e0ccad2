// The parts that questions share, as the editors hold them, and as QUERIES
// writes them. What an editor cannot show is kept as it is in `raw`.
import type { Json } from "../api/types";
import { addDays, dayOf } from "../parts/format";

export interface Condition {
  of: "event" | "profile" | "item";
  property: string;
  op: string;
  value: string;
}

export interface FilterState {
  join: "all" | "any";
  rows: Condition[];
  raw?: Json; // a filter that is not one list of conditions
}

export interface RefState {
  event: string; // "" = any event
  filter: FilterState;
}

// The appliance's own events: what became of messages, and of people.
const ownNames = new Set("Notification Sent,Notification Delivered,Notification Viewed,Notification Clicked,Notification Replied,Notification Bounced,Notification Failed,Notification Held,Channel Unsubscribed,Consent Changed,App Uninstalled,Session Concluded,Push Impressions,Identity Merged".split(","));
export const isOwn = (event: string) => ownNames.has(event);

export const noFilter = (): FilterState => ({ join: "all", rows: [] });
export const newRef = (event = ""): RefState => ({ event, filter: noFilter() });
export const newCondition = (): Condition => ({ of: "event", property: "", op: "=", value: "" });

export const ops: { value: string; label: string; bare?: boolean; list?: boolean }[] = [
  { value: "=", label: "is" },
  { value: "!=", label: "is not" },
  { value: "<", label: "is less than" },
  { value: "<=", label: "is at most" },
  { value: ">", label: "is more than" },
  { value: ">=", label: "is at least" },
  { value: "between", label: "is between", list: true },
  { value: "in", label: "is one of", list: true },
  { value: "not_in", label: "is none of", list: true },
  { value: "contains", label: "contains" },
  { value: "not_contains", label: "does not contain" },
  { value: "starts_with", label: "starts with" },
  { value: "ends_with", label: "ends with" },
  { value: "matches", label: "matches (RE2)" },
  { value: "before", label: "is before" },
  { value: "after", label: "is after" },
  { value: "exists", label: "is there", bare: true },
  { value: "not_exists", label: "is not there", bare: true },
];
const opOf = (op: string) => ops.find((o) => o.value === op);

// scalar takes "12.5" for a number and anything else for text; a text in
// quotes stays a text.
export function scalar(text: string): Json {
  const t = text.trim();
  if (/^"[^]*"$/.test(t)) return t.slice(1, -1);
  if (t === "true") return true;
  if (t === "false") return false;
  return /^-?(0|[1-9]\d*)(\.\d+)?$/.test(t) && t.length < 16 ? Number(t) : t;
}

function unscalar(v: Json): string {
  return typeof v === "string" && typeof scalar(v) !== "string" ? `"${v}"` : String(v);
}

const complete = (c: Condition) => c.property !== "" && (opOf(c.op)?.bare || c.value.trim() !== "");

export function conditionJson(c: Condition): Json {
  const o = opOf(c.op);
  const out: { [k: string]: Json } = { property: c.property };
  if (c.of !== "event") out["of"] = c.of;
  out["op"] = c.op;
  if (!o?.bare) out["value"] = o?.list ? c.value.split(",").map((v) => scalar(v)) : scalar(c.value);
  return out;
}

// filterJson leaves out what is not complete. Where a condition left out would
// mean more people than its author thinks (a campaign, a segment), strict keeps
// it as soon as it names a property, and the server says what is missing.
export function filterJson(f: FilterState, strict = false): Json | undefined {
  if (f.raw !== undefined) return f.raw;
  const rows = f.rows.filter(strict ? (c) => c.property !== "" : complete).map(conditionJson);
  if (rows.length === 0) return undefined;
  return rows.length === 1 ? rows[0]! : { [f.join]: rows };
}

export function refJson(r: RefState, strict = false): { [k: string]: Json } {
  const out: { [k: string]: Json } = {};
  if (r.event) out["event"] = r.event;
  const filter = filterJson(r.filter, strict);
  if (filter !== undefined) out["filter"] = filter;
  return out;
}

type Obj = { [k: string]: Json };
export const isObject = (v: Json | undefined): v is Obj => typeof v === "object" && v !== null && !Array.isArray(v);
const only = (o: Obj, ...keys: string[]) => Object.keys(o).every((k) => keys.includes(k));

export function readCondition(v: Json): Condition | null {
  if (!isObject(v) || !only(v, "property", "of", "op", "value")) return null;
  const o = opOf(String(v["op"]));
  if (typeof v["property"] !== "string" || !o) return null;
  const of = v["of"] ?? "event";
  if (of !== "event" && of !== "profile" && of !== "item") return null;
  const x = v["value"];
  const value = x === undefined ? "" : Array.isArray(x) ? x.map(unscalar).join(", ") : unscalar(x);
  return { of, property: v["property"], op: o.value, value };
}

export function readFilter(v: Json | undefined): FilterState {
  if (v === undefined || v === null) return noFilter();
  const one = readCondition(v);
  if (one) return { join: "all", rows: [one] };
  if (isObject(v) && Object.keys(v).length === 1) {
    for (const join of ["all", "any"] as const) {
      const list = v[join];
      if (!Array.isArray(list)) continue;
      const rows = list.map(readCondition);
      if (rows.every((r) => r !== null)) return { join, rows: rows as Condition[] };
    }
  }
  return { join: "all", rows: [], raw: v };
}

export function readRef(v: Json | undefined): RefState {
  if (!isObject(v)) return newRef();
  return { event: typeof v["event"] === "string" ? v["event"] : "", filter: readFilter(v["filter"]) };
}

// ---- ranges

export interface RangeState {
  last: string; // "7d", "30d", "90d", "12m", "" = everything, "custom"
  from: string;
  to: string;
}

export const presets = [
  { value: "1d", label: "Today" },
  { value: "7d", label: "Last 7 days" },
  { value: "30d", label: "Last 30 days" },
  { value: "90d", label: "Last 90 days" },
  { value: "365d", label: "Last 12 months" },
  { value: "", label: "All time" },
  { value: "custom", label: "From … to …" },
];

export function rangeJson(r: RangeState): { from?: string; to?: string } {
  if (r.last === "") return {};
  if (r.last === "custom") return { ...(r.from && { from: r.from }), ...(r.to && { to: r.to }) };
  const today = dayOf(new Date());
  return { from: addDays(today, 1 - parseInt(r.last, 10)), to: today };
}

export function readRange(q: Obj, last: string | null): RangeState {
  if (last !== null && presets.some((p) => p.value === last && last !== "custom")) return { last, from: "", to: "" };
  const from = typeof q["from"] === "string" ? q["from"] : "";
  const to = typeof q["to"] === "string" ? q["to"] : "";
  return { last: from || to ? "custom" : "", from, to };
}

// ---- the address: the question itself, and which preset its dates came from

export function toHash(question: Json, range: RangeState, extra: { [k: string]: string } = {}): string {
  const q = { ...(question as Obj) };
  const params: string[] = [];
  if (range.last !== "custom") {
    delete q["from"];
    delete q["to"];
    params.push("last=" + (range.last || "all"));
  }
  for (const [k, v] of Object.entries(extra)) if (v) params.push(`${k}=${encodeURIComponent(v)}`);
  const text = encodeURIComponent(JSON.stringify(q)).replace(/%(22|7B|7D|3A|2C|5B|5D|20)/g, (c) => (c === "%20" ? "+" : decodeURIComponent(c)));
  return [...params, "q=" + text].join("&");
}

export function fromHash(h: URLSearchParams): { question: Obj; last: string | null } | null {
  const text = h.get("q");
  if (!text) return null;
  try {
    const v = JSON.parse(text) as Json;
    if (!isObject(v)) return null;
    const last = h.get("last");
    return { question: v, last: last === "all" ? "" : last };
  } catch {
    return null;
  }
}
