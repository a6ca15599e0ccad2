// People expressions as the segment builder holds them: one list, joined by
// all or any. What does not fit stays JSON, and the builder says so.
import type { Json } from "../api/types";
import { conditionJson, isObject, newCondition, newRef, readCondition, readRef, refJson, type Condition, type RefState } from "./shared";

export type WhenState = { kind: "ever" } | { kind: "last"; n: number; unit: string } | { kind: "between"; from: string; to: string };

export type Clause =
  | { kind: "did" | "did_not"; ref: RefState; when: WhenState; count: { op: string; value: number } | null; sum: { property: string; op: string; value: number } | null }
  | { kind: "profile"; condition: Condition }
  | { kind: "reachable"; channel: string; not: boolean }
  | { kind: "consent"; purpose: string; channel: string; not: boolean }
  | { kind: "segment"; name: string; not: boolean };

export interface PeopleState {
  join: "all" | "any";
  clauses: Clause[];
}

export const everyone: Json = { all: [] };

export const newClause = {
  did: (event = ""): Clause => ({ kind: "did", ref: newRef(event), when: { kind: "last", n: 30, unit: "day" }, count: null, sum: null }),
  did_not: (event = ""): Clause => ({ kind: "did_not", ref: newRef(event), when: { kind: "last", n: 30, unit: "day" }, count: null, sum: null }),
  profile: (): Clause => ({ kind: "profile", condition: { ...newCondition(), of: "profile" } }),
  reachable: (channel = "email"): Clause => ({ kind: "reachable", channel, not: false }),
  consent: (purpose = ""): Clause => ({ kind: "consent", purpose, channel: "email", not: false }),
  segment: (): Clause => ({ kind: "segment", name: "", not: false }),
};

function whenJson(w: WhenState): Json | undefined {
  switch (w.kind) {
    case "last":
      return { last: { n: w.n, unit: w.unit } };
    case "between":
      return w.from || w.to ? { ...(w.from && { from: w.from }), ...(w.to && { to: w.to }) } : undefined;
  }
  return undefined;
}

const not = (x: Json, yes: boolean): Json => (yes ? { not: x } : x);

export function clauseJson(c: Clause): Json {
  switch (c.kind) {
    case "did":
    case "did_not": {
      const out: { [k: string]: Json } = { [c.kind]: refJson(c.ref, true) };
      const when = whenJson(c.when);
      if (when !== undefined) out["in"] = when;
      if (c.kind === "did" && c.count) out["count"] = { op: c.count.op, value: c.count.value };
      if (c.kind === "did" && c.sum?.property) out["sum"] = { property: c.sum.property, op: c.sum.op, value: c.sum.value };
      return out;
    }
    case "profile": {
      const { of: _, ...rest } = conditionJson(c.condition) as { [k: string]: Json };
      return { profile: rest };
    }
    case "reachable":
      return not({ reachable: c.channel }, c.not);
    case "consent":
      return not({ consent: { purpose: c.purpose, ...(c.channel && { channel: c.channel }) } }, c.not);
    case "segment":
      return not({ segment: c.name }, c.not);
  }
}

export function peopleJson(s: PeopleState): Json {
  const list = s.clauses.map(clauseJson);
  return list.length === 1 ? list[0]! : { [s.join]: list };
}

function readWhen(v: Json | undefined): WhenState | null {
  if (v === undefined || v === null) return { kind: "ever" };
  if (!isObject(v)) return null;
  const last = v["last"];
  if (isObject(last) && typeof last["n"] === "number" && typeof last["unit"] === "string") return { kind: "last", n: last["n"], unit: last["unit"] };
  if (Object.keys(v).every((k) => k === "from" || k === "to")) return { kind: "between", from: String(v["from"] ?? ""), to: String(v["to"] ?? "") };
  return null;
}

function readClause(v: Json): Clause | null {
  if (!isObject(v)) return null;
  const keys = Object.keys(v);
  if (keys.length === 1 && keys[0] === "not") {
    const inner = readClause(v["not"]!);
    return inner && "not" in inner && !inner.not ? { ...inner, not: true } : null;
  }
  for (const kind of ["did", "did_not"] as const) {
    if (!(kind in v)) continue;
    if (!keys.every((k) => [kind, "in", "count", "sum"].includes(k))) return null;
    const when = readWhen(v["in"]);
    if (!when) return null;
    const count = readAmount(v["count"]);
    const sum = readAmount(v["sum"]);
    const property = isObject(v["sum"]) ? v["sum"]["property"] : undefined;
    if (count === false || sum === false || (sum && typeof property !== "string")) return null;
    return { kind, ref: readRef(v[kind]), when, count, sum: sum ? { property: property as string, ...sum } : null };
  }
  if (keys.length !== 1) return null;
  const x = v[keys[0]!]!;
  switch (keys[0]) {
    case "profile": {
      const c = isObject(x) ? readCondition({ ...x, of: "profile" }) : null;
      return c ? { kind: "profile", condition: c } : null;
    }
    case "reachable":
      return typeof x === "string" ? { kind: "reachable", channel: x, not: false } : null;
    case "segment":
      return typeof x === "string" ? { kind: "segment", name: x, not: false } : null;
    case "consent":
      return isObject(x) && typeof x["purpose"] === "string" ? { kind: "consent", purpose: x["purpose"], channel: String(x["channel"] ?? ""), not: false } : null;
  }
  return null;
}

// readAmount gives null where there is none and false where it is no amount.
function readAmount(v: Json | undefined): { op: string; value: number } | null | false {
  if (v === undefined) return null;
  return isObject(v) && typeof v["op"] === "string" && typeof v["value"] === "number" ? { op: v["op"], value: v["value"] } : false;
}

// readPeople gives null for an expression that the builder cannot show.
export function readPeople(v: Json | undefined): PeopleState | null {
  if (v === undefined || v === null) return { join: "all", clauses: [] };
  if (isObject(v) && Object.keys(v).length === 1) {
    for (const join of ["all", "any"] as const) {
      const list = v[join];
      if (!Array.isArray(list)) continue;
      const clauses = list.map(readClause);
      return clauses.every((c) => c !== null) ? { join, clauses: clauses as Clause[] } : null;
    }
  }
  const one = readClause(v);
  return one ? { join: "all", clauses: [one] } : null;
}

export function isEveryone(v: Json | undefined): boolean {
  return isObject(v) && Array.isArray(v["all"]) && v["all"].length === 0 && Object.keys(v).length === 1;
}

// say puts an expression into a sentence, for lists and summaries.
export function say(v: Json | undefined): string {
  if (v === undefined || v === null) return "";
  if (isEveryone(v)) return "Everyone";
  const s = readPeople(v);
  if (!s) return "A longer expression";
  const parts = s.clauses.map(sayClause);
  const text = parts.join(s.join === "all" ? ", and " : ", or ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function sayWhen(w: WhenState): string {
  if (w.kind === "last") return ` in the last ${w.n} ${w.unit}${w.n === 1 ? "" : "s"}`;
  if (w.kind === "between") return w.from && w.to ? ` between ${w.from} and ${w.to}` : w.from ? ` since ${w.from}` : ` until ${w.to}`;
  return "";
}

function sayClause(c: Clause): string {
  switch (c.kind) {
    case "did":
      return `did ${c.ref.event || "anything"}${c.count ? ` ${c.count.op} ${c.count.value} times` : ""}${sayWhen(c.when)}`;
    case "did_not":
      return `did not do ${c.ref.event || "anything"}${sayWhen(c.when)}`;
    case "profile":
      return `profile ${c.condition.property} ${c.condition.op} ${c.condition.value}`.trim();
    case "reachable":
      return `${c.not ? "not " : ""}reachable by ${c.channel}`;
    case "consent":
      return `${c.not ? "no consent" : "consent"} to ${c.purpose}${c.channel ? " by " + c.channel : ""}`;
    case "segment":
      return `${c.not ? "not " : ""}in ${c.name}`;
  }
}
