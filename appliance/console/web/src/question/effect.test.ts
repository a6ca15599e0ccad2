import "../testing/dom";
import assert from "node:assert/strict";
import test from "node:test";
import type { Converted, Goal, Revenue } from "../api/types";
import { sayChance, sayExtra, sayRevenue, sayVerdict, sayWindow, signed, span } from "./effect";

const goal: Goal = { event: "Charged", window: { n: 7, unit: "day" }, revenue: "Amount" };

const converted = (x1: number, n1: number, x2: number, n2: number, more: Partial<Converted>): Converted => ({
  target: { people: n1, converted: x1, rate: n1 ? x1 / n1 : 0, events: x1 },
  control: { people: n2, converted: x2, rate: n2 ? x2 / n2 : 0, events: x2 },
  difference: null, difference_interval: null, lift: null, lift_interval: null, p: null, test: null,
  ...more,
});

test("what a campaign did is said in words", () => {
  const good = converted(640, 8000, 120, 2000, { difference: 0.02, difference_interval: [0.0072, 0.0314], lift: 1 / 3, lift_interval: [0.1, 0.6], p: 0.0026, test: "score" });
  const v = sayVerdict(goal, good);
  assert.equal(v.tone, "good");
  assert.equal(v.title, "It makes a difference");
  assert.match(v.text, /8 % \(640 of 8,000\) of those written to did Charged within 7 days, and 6 % \(120 of 2,000\) of the control group\. That is 33 % more; .* between \+10 % and \+60 %\. .* in 3 cases of 1,000/);
  assert.equal(sayExtra(good), "About 160 people did it who would not have without the message (58 to 251).");

  const bad = converted(60, 1000, 100, 1000, { difference: -0.04, difference_interval: [-0.06, -0.02], lift: -0.4, lift_interval: [-0.55, -0.2], p: 0.0005, test: "score" });
  assert.equal(sayVerdict(goal, bad).tone, "bad");
  assert.match(sayVerdict(goal, bad).text, /40 % fewer; .* -55 % and -20 %\. .* fewer than 1 of 1,000/);
  assert.match(sayExtra(bad), /^About 40 people did not do it/);
});

test("what is not known is not claimed", () => {
  const even = converted(30, 1000, 5, 200, { difference: 0.005, lift: 0.2, lift_interval: [-0.5, 2], p: 0.7, test: "score" });
  assert.equal(sayVerdict(goal, even).title, "No clear difference");
  assert.match(sayVerdict(goal, even).text, /in 70 cases of 100/);
  assert.equal(sayExtra(even), "");
  assert.match(sayVerdict(goal, converted(3, 10, 0, 0, {})).text, /3 of 10 people did Charged .* is not known/);
  assert.equal(sayVerdict(goal, converted(0, 0, 0, 5, {})).title, "Nobody to follow yet");
  // Nobody of the control group did it: there is no lift, and still a difference.
  const none = converted(50, 1000, 0, 500, { difference: 0.05, difference_interval: [0.036, 0.065], lift_interval: [5, null], p: 1e-9, test: "score" });
  assert.doesNotMatch(sayVerdict(goal, none).text, /more; the true/);
});

test("revenue is said in words", () => {
  const r = (more: Partial<Revenue>): Revenue => ({
    target: { people: 100, total: 1000, per_person: 10 }, control: { people: 50, total: 250, per_person: 5 },
    difference: 5, difference_interval: [1, 9], lift: 1, lift_interval: null, p: 0.01, test: "welch", ...more,
  });
  assert.match(sayRevenue(goal, r({})), /^Amount: 10 a person .* about 500 more than without the campaign \(100 to 900\)/);
  assert.match(sayRevenue(goal, r({ p: 0.5 })), /No clear difference: chance alone makes one like this in 50 cases of 100/);
  assert.match(sayRevenue(goal, r({ p: null, test: null })), /too few/);
  assert.equal(sayRevenue(goal, r({ control: { people: 0, total: 0, per_person: 0 } })), "");
});

test("numbers of a comparison", () => {
  assert.equal(signed(0.054), "+5.4 %");
  assert.equal(signed(-0.4), "-40 %");
  assert.equal(signed(null), "–");
  assert.equal(span([null, null], String), "not known");
  assert.equal(span([1, null], String), "1 or more");
  assert.equal(span([null, 2], String), "2 or less");
  assert.equal(sayWindow({ ...goal, window: { n: 1, unit: "month" } }), "1 month");
  assert.equal(sayChance(0.01), "in 1 case of 100");
});
