import assert from "node:assert/strict";
import { test } from "node:test";
import { Browser, defaults } from "./fake";

async function begun(change: (b: Browser) => void = () => {}) {
  const b = new Browser();
  change(b);
  const c = b.tab();
  await c.start();
  return { b, c };
}

test("events wait a second, and go together with who, when and an id", async () => {
  const { b, c } = await begun();
  c.track("A", { n: 1 });
  await b.pass(500);
  c.track("B");
  assert.equal(b.sent.length, 0);
  await b.pass(1000);
  assert.equal(b.sent.length, 1);
  const [first, a, second] = b.sent[0]!;
  const session = Date.parse("2026-11-23T16:00:00Z") / 1000;
  assert.deepEqual(first, { id: "000001", ts: "2026-11-23T16:00:00.000Z", anonymous: "000000", event: "Session Started", props: { session } });
  assert.deepEqual(a, { id: "000002", ts: "2026-11-23T16:00:00.000Z", anonymous: "000000", event: "A", props: { n: 1, session } });
  assert.equal(second!.ts, "2026-11-23T16:00:00.500Z");
  assert.equal([...b.disk.kept.keys()].filter((k) => k.startsWith("c:q") || k.startsWith("c:t")).length, 0);
});

test("a session ends after half an hour without an event", async () => {
  const { b, c } = await begun();
  c.track("A");
  await b.pass(29 * 60e3);
  c.track("B");
  await b.pass(29 * 60e3);
  c.track("C");
  await b.pass(31 * 60e3);
  c.track("D");
  await b.pass(2000);
  const all = b.sent.flat();
  assert.equal(all.filter((r) => r.event === "Session Started").length, 2);
  assert.equal(all.at(-1)!.props!.session, b.time / 1000 - 2);
});

test("whoever logs in is named from then on, and forgotten when they leave", async () => {
  const { b, c } = await begun();
  c.track("A");
  c.identify("ann", { plan: "gold" });
  c.track("B");
  c.alias("old-ann");
  c.logout();
  c.track("C");
  await b.pass(1000);
  assert.deepEqual(b.arrived(), ["A", 'ann@profile={"plan":"gold"}', "ann@B", 'ann@previous="old-ann"', "C"]);
  const [a, , , alias, last] = b.sent.flat().filter((r) => r.event !== "Session Started");
  assert.notEqual(a!.anonymous, last!.anonymous);
  assert.equal(alias!.anonymous, undefined);
});

test("another person on the device is another device", async () => {
  const { b, c } = await begun();
  c.identify("ann");
  c.identify("ann");
  c.identify("ben");
  await b.pass(1000);
  const [first, again, other] = b.sent.flat();
  assert.equal(first!.anonymous, again!.anonymous);
  assert.notEqual(first!.anonymous, other!.anonymous);
});

test("nothing is sent before it is known what may be", async () => {
  const b = new Browser();
  b.settings = new Error("no answer");
  const c = b.tab();
  await c.start();
  c.track("Charged", { amount: 1, card_number: "4" });
  await b.pass(20e3);
  c.leave();
  assert.equal(b.sent.length + b.beacons.length, 0);
  b.settings = { ...defaults, properties: { Charged: { deny: ["card_number"] }, "*": { deny: [], allow: ["sku"] } } };
  b.reply = () => ({ status: 503, after: null });
  await b.pass(20e3);
  assert.ok(![...b.disk.kept.values()].some((v) => v.includes('"card_number":"')), "what may not be kept goes as soon as that is known");
  b.reply = () => ({ status: 200, after: null, refused: [] });
  await b.pass(60e3);
  assert.ok(b.arrived().every((e) => e === "Charged"));
  const charged = b.sent.flat().find((r) => r.event === "Charged")!;
  assert.deepEqual(Object.keys(charged.props!), ["amount", "session"]);
  c.track("Other", { sku: "A", name: "x" });
  assert.ok(![...b.disk.kept.values()].some((v) => v.includes('"name"')), "what may not leave is not kept either");
  await b.pass(1000);
  assert.deepEqual(b.sent.flat().at(-1)!.props, { sku: "A" });
});

test("the settings of last time hold offline", async () => {
  const { b } = await begun((b) => (b.settings = { ...defaults, collect: false }));
  b.isOnline = false;
  b.time += 864e5;
  const c = b.tab();
  await c.start();
  c.track("A");
  assert.equal(c.collects(), false);
  b.isOnline = true;
  b.settings = defaults;
  await c.start();
  c.track("B");
  await b.pass(1000);
  assert.deepEqual(b.arrived(), ["B"]);
});

test("who opts out is heard once more, and never again", async () => {
  const { b, c } = await begun();
  c.identify("ann");
  c.track("A");
  c.optOut();
  c.track("B");
  c.identify("ann", { plan: "gold" });
  c.profile({ plan: "gold" });
  c.consent({ purpose: "offers", granted: false });
  await b.pass(1000);
  assert.deepEqual(b.arrived(), ["ann@collect=false", 'ann@consent=[{"purpose":"offers","granted":false}]']);
  const again = b.tab();
  await again.start();
  again.track("C");
  again.optIn();
  again.track("D");
  await b.pass(1000);
  assert.deepEqual(b.arrived().slice(2), ["ann@collect=true", "ann@D"]);
});

test("an answer that is older than the choice does not undo it", async () => {
  const { b, c } = await begun((b) => (b.settings = { ...defaults, collect: false }));
  c.optIn();
  await b.pass(1000);
  await c.start(); // the appliance has not applied it yet
  assert.equal(c.collects(), true);
  b.isOnline = false;
  await b.pass(6 * 60e3);
  c.optOut();
  c.optIn();
  b.isOnline = true;
  await b.pass(6 * 60e3); // asks while the choice may still wait
  await c.start();
  assert.equal(c.collects(), false, "but what it says later counts");
});

test("Global Privacy Control is an opt-out, recorded once, and an opt-in is the more specific wish", async () => {
  const { b, c } = await begun((b) => (b.gpc = true));
  c.track("A");
  await b.pass(1000);
  const again = b.tab();
  await again.start();
  again.track("B");
  await b.pass(1000);
  assert.deepEqual(b.arrived(), ["collect=false"]);
  assert.equal(b.sent.flat()[0]!.source, "gpc");
  again.optIn();
  again.track("C");
  await b.pass(1000);
  assert.deepEqual(b.arrived(), ["collect=false", "collect=true", "C"]);
});

test("where somebody must agree first, nothing is collected and no id made before", async () => {
  const { b, c } = await begun((b) => (b.ask = true));
  c.track("A");
  c.identify("ann");
  await b.pass(1000);
  assert.deepEqual(b.sent, []);
  assert.deepEqual(b.asked, [null]);
  assert.equal(b.disk.kept.has("c:anonymous"), false);
  c.optIn();
  c.track("B");
  await b.pass(1000);
  assert.deepEqual(b.arrived(), ["ann@collect=true", "ann@B"]);
});

test("a push token goes with its person", async () => {
  const { b, c } = await begun();
  const one = { platform: "webpush" as const, token: "https://p/1", keys: {} };
  c.identify("ann");
  c.subscribed(one);
  c.subscribed(one); // nothing new
  c.logout();
  c.identify("ben");
  c.subscribed({ ...one, token: "https://p/2" });
  c.subscribed(null);
  await b.pass(1000);
  const push = (n: number) => `={"push":{"platform":"webpush","token":"https://p/${n}","keys":{}}}`;
  assert.deepEqual(b.arrived(), ["ann@", "ann@channels" + push(1), "ann@unreachable" + push(1), "ben@channels" + push(1), "ben@unreachable" + push(1), "ben@channels" + push(2), "ben@unreachable" + push(2)]);
});

test("a browser without storage works for as long as the page lives", async () => {
  const b = new Browser();
  b.disk.room = 0;
  const c = b.tab();
  await c.start();
  c.track("A");
  await b.pass(1000);
  assert.deepEqual(b.arrived(), ["A"]);
});
