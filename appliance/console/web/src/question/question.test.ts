import "../testing/dom";
import assert from "node:assert/strict";
import test from "node:test";
import type { Json } from "../api/types";
import { funnelJson, readFunnel } from "./funnel";
import { clauseJson, peopleJson, readPeople, say } from "./people";
import { filterJson, fromHash, readFilter, scalar, toHash } from "./shared";
import { newTrend, readTrend, trendJson } from "./trend";

type Obj = { [k: string]: Json };

test("a value keeps its type", () => {
  for (const [text, want] of [["12.5", 12.5], ["-3", -3], ["007", "007"], ['"12"', "12"], ["true", true], ["IN", "IN"], ["1e5", "1e5"], ["+919800000000", "+919800000000"], ["12345678901234567890", "12345678901234567890"]] as [string, Json][]) {
    assert.deepEqual(scalar(text), want, text);
  }
});

test("filters come back as they were", () => {
  const filters: Json[] = [
    { property: "country", op: "=", value: "IN" },
    { property: "zip", op: "=", value: "00501" },
    { property: "sku", op: "in", value: ["12", "x"] },
    { property: "n", op: "between", value: [1, 10] },
    { property: "plan", of: "profile", op: "exists" },
    { all: [{ property: "a", op: ">", value: 1 }, { property: "b", of: "item", op: "!=", value: "x" }] },
    { any: [{ property: "a", op: ">", value: 1 }, { not: { property: "b", op: "exists" } }] }, // not a list of conditions: kept raw
  ];
  for (const f of filters) assert.deepEqual(filterJson(readFilter(f)), f);
});

test("an incomplete condition never widens a segment", () => {
  const f = { join: "all" as const, rows: [{ of: "event" as const, property: "country", op: "=", value: "" }] };
  assert.equal(filterJson(f), undefined);
  assert.deepEqual(filterJson(f, true), { property: "country", op: "=", value: "" });
});

test("trends come back as they were, with what the editor has no field for", () => {
  const questions: Obj[] = [
    { kind: "trend", series: [{ name: "A", event: "Charged", measure: "sum", property: "Amount" }], interval: "day", from: "2026-01-01", to: "2026-01-31", compare: "previous" },
    { kind: "trend", series: [{ name: "A", measure: "count" }, { name: "B", event: "X", filter: { property: "a", op: "=", value: 1 }, measure: "unique" }], interval: "all", breakdown: [{ property: "country", of: "profile", limit: 8 }], people: { segment: "S" }, cumulative: true, formula: "A / B" },
    { kind: "trend", series: [{ name: "A", measure: "unique", trailing: { n: 30, unit: "day" } }], interval: "day" },
    { kind: "trend", series: [{ name: "A", event: "X", measure: "count" }], interval: "week", week_starts: "sunday", people: { not: { segment: "S" } }, breakdown: [{ property: "a" }, { property: "b" }] },
  ];
  for (const q of questions) assert.deepEqual(trendJson(readTrend(q, null)), q);
});

test("funnels come back as they were", () => {
  const questions: Obj[] = [
    { kind: "funnel", steps: [{ event: "A" }, { event: "B", filter: { property: "x", op: "exists" } }], window: { n: 2, unit: "day" } },
    { kind: "funnel", steps: [{ event: "A" }], window: { n: 14, unit: "day" }, order: "any", count: "attempts", over_time: { interval: "week", from_step: 1 }, hold: ["sku"], people: { reachable: "email" } },
    { kind: "funnel", steps: [{ event: "A" }, { event: "B" }], window: { property: "valid_hours", unit: "hour" } },
  ];
  for (const q of questions) assert.deepEqual(funnelJson(readFunnel(q, null)), q);
});

test("the address holds the question, and a preset stays one", () => {
  const s = newTrend("Product Viewed");
  s.series[0]!.filter.rows = [{ of: "event", property: "name & more", op: "=", value: "50% + #1" }];
  const hash = toHash(trendJson(s), s.range);
  assert.match(hash, /^last=30d&q=/);
  assert.doesNotMatch(hash, /"from"/);
  const back = fromHash(new URLSearchParams(hash))!;
  assert.deepEqual(trendJson(readTrend(back.question, back.last)), trendJson(s));
  assert.equal(fromHash(new URLSearchParams("q={broken")), null);
});

test("people expressions come back as they were, or are left to JSON", () => {
  const shown: Json[] = [
    { did: { event: "Charged", filter: { property: "Amount", op: ">", value: 10 } }, in: { last: { n: 30, unit: "day" } }, count: { op: ">=", value: 2 }, sum: { property: "Amount", op: ">=", value: 100 } },
    { all: [{ did_not: { event: "Charged" } }, { profile: { property: "plan", op: "=", value: "gold" } }, { not: { reachable: "sms" } }] },
    { any: [{ consent: { purpose: "offers", channel: "email" } }, { segment: "S" }, { did: {}, in: { from: "2026-01-01", to: "2026-01-31" } }] },
    { all: [] },
  ];
  for (const p of shown) {
    const state = readPeople(p);
    assert.ok(state, JSON.stringify(p));
    assert.deepEqual(peopleJson(state), p);
    assert.notEqual(say(p), "");
  }
  const left: Json[] = [{ at_least: 2, of: [] }, { all: [{ any: [{ segment: "S" }] }] }, { did: { event: "A" }, distinct: { property: "a", op: ">", value: 1 } }, { identity: ["a"] }, { not: { not: { segment: "S" } } }, "text", 7];
  for (const p of left) assert.equal(readPeople(p), null, JSON.stringify(p));
  assert.deepEqual(clauseJson({ kind: "segment", name: "S", not: true }), { not: { segment: "S" } });
});
