// A funnel as the explorer holds it, and as the contract writes it.
import type { Json } from "../api/types";
import { isObject, newRef, rangeJson, readRange, readRef, refJson, type RangeState, type RefState } from "./shared";
import type { Split } from "./trend";

export interface FunnelState {
  steps: RefState[];
  order: string;
  count: string;
  window: { n: number; unit: string };
  range: RangeState;
  split: Split | null;
  segment: string;
  over: string; // interval of over_time, "" = none
  rest: { [k: string]: Json };
}

export const orders = [
  { value: "ordered", label: "In this order" },
  { value: "strict", label: "In this order, nothing between" },
  { value: "any", label: "In any order" },
];

export const units = ["minute", "hour", "day", "week", "month"].map((u) => ({ value: u, label: u + "s" }));

export function newFunnel(events: string[] = []): FunnelState {
  return {
    steps: (events.length ? events : [""]).map(newRef),
    order: "ordered",
    count: "people",
    window: { n: 14, unit: "day" },
    range: { last: "30d", from: "", to: "" },
    split: null,
    segment: "",
    over: "",
    rest: {},
  };
}

export function funnelJson(s: FunnelState): { [k: string]: Json } {
  const q: { [k: string]: Json } = { kind: "funnel", steps: s.steps.map((r) => refJson(r)), window: { n: s.window.n, unit: s.window.unit }, ...rangeJson(s.range) };
  if (s.order !== "ordered") q["order"] = s.order;
  if (s.count !== "people") q["count"] = s.count;
  if (s.split?.property) q["breakdown"] = [{ property: s.split.property, ...(s.split.of !== "event" && { of: s.split.of }), limit: 12 }];
  if (s.segment) q["people"] = { segment: s.segment };
  if (s.over) q["over_time"] = { interval: s.over, from_step: 1 };
  return { ...q, ...s.rest };
}

const shown = ["kind", "steps", "window", "order", "count", "from", "to", "breakdown", "people", "over_time", "list"];

export function readFunnel(q: { [k: string]: Json }, last: string | null): FunnelState {
  const s = newFunnel();
  if (Array.isArray(q["steps"]) && q["steps"].length > 0) s.steps = q["steps"].map(readRef);
  if (typeof q["order"] === "string") s.order = q["order"];
  if (typeof q["count"] === "string") s.count = q["count"];
  const w = q["window"];
  if (isObject(w) && typeof w["n"] === "number" && typeof w["unit"] === "string") s.window = { n: w["n"], unit: w["unit"] };
  else if (w !== undefined) s.rest["window"] = w;
  s.range = readRange(q, last);
  const b = Array.isArray(q["breakdown"]) && q["breakdown"].length === 1 ? q["breakdown"][0] : undefined;
  if (isObject(b) && typeof b["property"] === "string") s.split = { property: b["property"], of: b["of"] === "profile" || b["of"] === "item" ? b["of"] : "event" };
  else if (q["breakdown"] !== undefined) s.rest["breakdown"] = q["breakdown"];
  const p = q["people"];
  if (isObject(p) && typeof p["segment"] === "string" && Object.keys(p).length === 1) s.segment = p["segment"];
  else if (p !== undefined) s.rest["people"] = p;
  const o = q["over_time"];
  if (isObject(o) && typeof o["interval"] === "string") s.over = o["interval"];
  for (const [k, v] of Object.entries(q)) if (!shown.includes(k)) s.rest[k] = v;
  return s;
}
