import assert from "node:assert/strict";
import { test } from "node:test";
import { Browser, idle, short } from "./fake";
import type { Rec } from "./queue";

async function begun() {
  const b = new Browser();
  const c = b.tab();
  await c.start();
  return { b, c };
}

const ids = (all: Rec[][]): string[] => all.flat().map((r) => r.id);
const kept = (b: Browser): number => [...b.disk.kept.keys()].filter((k) => k.startsWith("c:q")).length;

test("what happens offline is sent once there is a network, in order and with its time", async () => {
  const { b, c } = await begun();
  b.isOnline = false;
  for (const name of ["A", "B", "C"]) {
    c.track(name);
    await b.pass(60e3);
  }
  const again = b.tab(); // the page was closed in between
  b.isOnline = true;
  await again.start();
  assert.deepEqual(b.arrived(), ["A", "B", "C"]);
  assert.deepEqual(b.sent.flat().slice(1).map((r) => r.ts.slice(11, 16)), ["16:00", "16:01", "16:02"]);
  assert.equal(kept(b), 0);
});

test("a failure is tried again, later and later, with the same ids", async () => {
  const { b, c } = await begun();
  b.reply = () => ({ status: 503, after: null });
  c.track("A");
  const at: number[] = [];
  for (let seen = 0; seen < 6; await b.pass(100)) {
    if (b.sent.length > seen) at.push(b.time), (seen = b.sent.length);
  }
  const gaps = at.slice(1).map((t, i) => t - at[i]!);
  for (let i = 1; i < gaps.length; i++) assert.ok(gaps[i]! > gaps[i - 1]! * 0.9, `${gaps}`);
  assert.ok(gaps[0]! >= 1000 && gaps.at(-1)! > 8000, `${gaps}`);
  b.reply = () => ({ status: 200, after: null, refused: [] });
  await b.pass(400e3);
  assert.equal(new Set(ids(b.sent)).size, 2); // the session, and A
  assert.equal(kept(b), 0);
});

test("Retry-After is obeyed, by every tab and after a reload", async () => {
  const { b, c } = await begun();
  b.reply = () => ({ status: 429, after: "120" });
  c.track("A");
  await b.pass(2000);
  assert.equal(b.sent.length, 1);
  b.reply = () => ({ status: 200, after: null, refused: [] });
  const other = b.tab();
  await other.start();
  other.track("B");
  await b.pass(110e3);
  assert.equal(b.sent.length, 1);
  await b.pass(20e3);
  assert.deepEqual([...new Set(b.arrived())], ["A", "B"]);
});

test("tabs send nothing twice", async () => {
  const { b, c } = await begun();
  const tabs = [c, b.tab(), b.tab(), b.tab()];
  for (let i = 0; i < 40; i++) tabs[i % 4]!.track("E" + i);
  await Promise.all(tabs.map((t) => t.flush()));
  await b.pass(5000);
  assert.equal(ids(b.sent).length, 41);
  assert.equal(new Set(ids(b.sent)).size, 41);
});

test("records of one millisecond from two tabs do not write over each other", async () => {
  const { b, c } = await begun();
  b.isOnline = false;
  const other = b.tab();
  for (let i = 0; i < 50; i++) (i % 2 ? c : other).track("E" + i);
  assert.equal(kept(b), 51);
});

test("what is refused is told and let go, what cannot be read too", async () => {
  const { b, c } = await begun();
  b.reply = () => ({ status: 400, after: null, refused: [{ index: 0 }] });
  c.track("A");
  await b.pass(1000);
  b.reply = () => ({ status: 400, after: null });
  c.track("B");
  await b.pass(1000);
  b.reply = () => ({ status: 415, after: null });
  c.track("C");
  await b.pass(10e3);
  assert.equal(b.sent.length, 3);
  assert.equal(kept(b), 0);
  assert.equal(b.warned.length, 3);
});

test("a key that is not known yet loses nothing", async () => {
  const { b, c } = await begun();
  b.reply = () => ({ status: 401, after: null });
  c.track("A");
  await b.pass(3000);
  assert.match(b.warned.join(), /401/);
  b.reply = () => ({ status: 200, after: null, refused: [] });
  await b.pass(600e3);
  assert.equal(kept(b), 0);
});

test("a request that is too large is halved", async () => {
  const { b, c } = await begun();
  b.reply = (r) => ({ status: r.length > 3 ? 413 : 200, after: null, refused: r.length > 3 ? undefined : [] });
  for (let i = 0; i < 20; i++) c.track("E" + i);
  await b.pass(5000);
  assert.equal(kept(b), 0);
  const taken = b.sent.filter((r) => r.length <= 3);
  assert.equal(new Set(ids(taken)).size, 21);
});

test("it is bounded: the oldest go, and what is too large never comes in", async () => {
  const { b, c } = await begun();
  b.isOnline = false;
  for (let i = 0; i < 700; i++) {
    b.time++;
    c.track("E" + i);
  }
  c.track("Large", { text: "x".repeat(40000) });
  assert.equal(kept(b), 500);
  assert.match(b.warned.join(), /too large/);
  b.isOnline = true;
  await b.pass(5000);
  await c.flush();
  assert.deepEqual([b.arrived()[0], b.arrived().at(-1)], ["E200", "E699"]);
  assert.ok(b.sent.every((r) => r.length <= 100));
});

test("a full disk makes room by letting the oldest go", async () => {
  const { b, c } = await begun();
  b.isOnline = false;
  b.disk.room = 4000;
  for (let i = 0; i < 60; i++) {
    b.time++;
    c.track("E" + i);
  }
  assert.ok(kept(b) > 5 && kept(b) < 30, `${kept(b)}`);
  b.isOnline = true;
  await c.flush();
  assert.equal(b.arrived().at(-1), "E59");
});

test("a page that goes hands over what waits, and keeps it until an answer comes", async () => {
  const { b, c } = await begun();
  c.track("A");
  c.leave();
  assert.deepEqual(b.beacons.map((r) => r.map(short)), [["Session Started", "A"]]);
  assert.equal(kept(b), 2);
  const next = b.tab();
  await next.start();
  assert.deepEqual(ids(b.sent), ids(b.beacons), "the same ids: a repeat");
  assert.equal(kept(b), 0);
  next.leave();
  assert.equal(b.beacons.length, 1);
});

test("what was tried is given up before a repeat would count twice", async () => {
  const { b, c } = await begun();
  c.track("A");
  c.leave();
  b.time += 6.5 * 864e5;
  const next = b.tab();
  next.track("B");
  await next.start();
  assert.deepEqual(b.arrived(), ["B"]);
});

test("what never left the device is sent however old it is", async () => {
  const { b, c } = await begun();
  b.isOnline = false;
  c.track("A");
  b.time += 60 * 864e5;
  b.isOnline = true;
  await b.tab().start();
  assert.deepEqual(b.arrived(), ["A"]);
});

test("somebody else's hand in the store does no harm", async () => {
  const { b, c } = await begun();
  b.disk.kept.set("c:q000", "{");
  b.disk.kept.set("c:settings", "{");
  b.disk.kept.set("c:session", "x");
  c.track("A");
  await b.pass(1000);
  await idle();
  assert.deepEqual(b.arrived(), ["A"]);
  assert.equal(kept(b), 0);
});
