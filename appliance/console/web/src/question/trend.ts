// A trend as the explorer holds it, and as the contract writes it.
import type { Json } from "../api/types";
import { isObject, newRef, rangeJson, readRange, readRef, refJson, type RangeState, type RefState } from "./shared";

export interface SeriesState extends RefState {
  measure: string;
  property: string;
}

export interface Split {
  property: string;
  of: "event" | "profile" | "item";
}

export interface TrendState {
  series: SeriesState[];
  interval: string;
  range: RangeState;
  split: Split | null;
  splitLimit: number;
  segment: string;
  compare: boolean;
  cumulative: boolean;
  formula: string;
  rest: { [k: string]: Json }; // what the editor has no field for
}

export const measures = [
  { value: "count", label: "Number of events" },
  { value: "unique", label: "Number of people" },
  { value: "trailing:7", label: "People in the 7 days to then" },
  { value: "trailing:30", label: "People in the 30 days to then" },
  { value: "per_person", label: "Events per person" },
  { value: "sum", label: "Sum of", property: true },
  { value: "avg", label: "Average of", property: true },
  { value: "median", label: "Median of", property: true },
  { value: "min", label: "Smallest", property: true },
  { value: "max", label: "Largest", property: true },
  { value: "p90", label: "90th percentile of", property: true },
  { value: "p95", label: "95th percentile of", property: true },
  { value: "p99", label: "99th percentile of", property: true },
  { value: "distinct", label: "Distinct values of", property: true },
];
export const takesProperty = (m: string) => measures.find((x) => x.value === m)?.property ?? false;

export const intervals = [
  { value: "hour", label: "Hour" },
  { value: "day", label: "Day" },
  { value: "week", label: "Week" },
  { value: "month", label: "Month" },
  { value: "quarter", label: "Quarter" },
  { value: "year", label: "Year" },
  { value: "all", label: "Whole range" },
];

export const letter = (i: number) => String.fromCharCode(65 + i);

export function newTrend(event = ""): TrendState {
  return {
    series: [{ ...newRef(event), measure: "count", property: "" }],
    interval: "day",
    range: { last: "30d", from: "", to: "" },
    split: null,
    splitLimit: 8,
    segment: "",
    compare: false,
    cumulative: false,
    formula: "",
    rest: {},
  };
}

export function trendJson(s: TrendState): { [k: string]: Json } {
  const q: { [k: string]: Json } = {
    kind: "trend",
    series: s.series.map((x, i) => {
      const days = /^trailing:(\d+)$/.exec(x.measure)?.[1];
      const out: { [k: string]: Json } = { name: letter(i), ...refJson(x), measure: days ? "unique" : x.measure };
      if (days) out["trailing"] = { n: Number(days), unit: "day" };
      if (takesProperty(x.measure) && x.property) out["property"] = x.property;
      return out;
    }),
    interval: s.interval,
    ...rangeJson(s.range),
  };
  if (s.split?.property) q["breakdown"] = [{ property: s.split.property, ...(s.split.of !== "event" && { of: s.split.of }), limit: s.splitLimit }];
  if (s.segment) q["people"] = { segment: s.segment };
  if (s.compare && q["from"]) q["compare"] = "previous";
  if (s.cumulative) q["cumulative"] = true;
  if (s.formula.trim()) q["formula"] = s.formula.trim();
  return { ...q, ...s.rest };
}

function readMeasure(x: Json): string {
  if (!isObject(x) || typeof x["measure"] !== "string") return "count";
  const t = x["trailing"];
  return isObject(t) && t["unit"] === "day" ? `trailing:${t["n"]}` : x["measure"];
}

const shown = ["kind", "series", "interval", "from", "to", "breakdown", "people", "compare", "cumulative", "formula"];

export function readTrend(q: { [k: string]: Json }, last: string | null): TrendState {
  const s = newTrend();
  if (Array.isArray(q["series"]) && q["series"].length > 0) {
    s.series = q["series"].map((x) => ({
      ...readRef(x),
      measure: readMeasure(x),
      property: isObject(x) && typeof x["property"] === "string" ? x["property"] : "",
    }));
  }
  if (typeof q["interval"] === "string") s.interval = q["interval"];
  s.range = readRange(q, last);
  const b = Array.isArray(q["breakdown"]) && q["breakdown"].length === 1 ? q["breakdown"][0] : undefined;
  if (isObject(b) && typeof b["property"] === "string") {
    s.split = { property: b["property"], of: b["of"] === "profile" || b["of"] === "item" ? b["of"] : "event" };
    if (typeof b["limit"] === "number") s.splitLimit = b["limit"];
  } else if (q["breakdown"] !== undefined) {
    s.rest["breakdown"] = q["breakdown"];
  }
  const p = q["people"];
  if (isObject(p) && typeof p["segment"] === "string" && Object.keys(p).length === 1) s.segment = p["segment"];
  else if (p !== undefined) s.rest["people"] = p;
  s.compare = q["compare"] === "previous";
  s.cumulative = q["cumulative"] === true;
  if (typeof q["formula"] === "string") s.formula = q["formula"];
  for (const [k, v] of Object.entries(q)) if (!shown.includes(k)) s.rest[k] = v;
  return s;
}

// ask is false while something that the question needs is still missing.
export function ready(s: TrendState): boolean {
  return s.series.every((x) => !takesProperty(x.measure) || x.property !== "");
}
