import "../testing/dom";
import assert from "node:assert/strict";
import test from "node:test";
import type { Campaign } from "../api/types";
import { durationSeconds, idOf, sayDuration, sent, splitDuration } from "./campaign";
import { fillText, smsParts, written } from "./template";

test("durations are read as people and the server write them", () => {
  for (const [text, seconds, said] of [["90m", 5400, "90 minutes"], ["1h0m0s", 3600, "1 hour"], ["7d", 604_800, "1 week"], ["36h0m0s", 129_600, "36 hours"], ["10s", 10, "10 seconds"], ["1d12h", 129_600, "36 hours"]] as [string, number, string][]) {
    assert.equal(durationSeconds(text), seconds, text);
    assert.equal(sayDuration(text), said, text);
  }
  assert.deepEqual(splitDuration(""), { n: 0, unit: "m" });
});

test("ids follow names", () => {
  assert.equal(idOf("Abandoned cart"), "abandoned-cart");
  assert.equal(idOf("  Größe & Maß, 2026! "), "gro-e-ma-2026");
  assert.ok(idOf("x".repeat(200)).length <= 64);
});

test("what has no meaning for a trigger or channel is not sent", () => {
  const c: Campaign = {
    id: "c", name: "C", state: "draft", channel: "sms", purpose: "offers", class: "marketing", revision: 3, progress: { audience: 1 }, limit: null,
    content: { subject: "left over", html: "<p>", text: "Hi" },
    trigger: { type: "event", event: { event: "A" }, without: { event: "B" }, within: "1h", audience: { all: [] }, delay: "5m" },
  };
  const out = sent(c);
  assert.deepEqual(out.content, { text: "Hi" });
  const withSender = { ...c, content: { text: "Hi", sender: "ACME", template: "1107", title: "x" } };
  assert.deepEqual(sent(withSender).content, { text: "Hi", sender: "ACME", template: "1107" });
  const push = { image: "https://cdn.example/a.png", badge: "", links: { apns: "app://i", fcm: "" }, buttons: [], data: { k: "v" }, silent: false };
  assert.deepEqual(sent({ ...c, channel: "push", content: { title: "Hi", push } }).content, { title: "Hi", push: { image: "https://cdn.example/a.png", links: { apns: "app://i" }, data: { k: "v" } } });
  assert.deepEqual(sent({ ...c, channel: "push", content: { title: "Hi", push: { badge: "" } } }).content, { title: "Hi" });
  assert.ok(!("push" in sent({ ...c, channel: "sms", content: { text: "Hi", push } }).content));
  assert.deepEqual(sent({ ...withSender, channel: "webhook" }).content, { text: "Hi" });
  assert.deepEqual(out.trigger, { type: "event", event: { event: "A" }, delay: "5m" });
  assert.deepEqual(sent({ ...c, control: 10, goal: { event: { event: "A" }, within: "", revenue: "" } }).goal, { event: { event: "A" } });
  assert.equal(sent({ ...c, control: 10 }).control, 10);
  assert.ok(!("control" in sent({ ...c, control: 10, class: "transactional" })) && !("goal" in sent({ ...c, goal: null })));
  assert.ok(!("revision" in out) && !("progress" in out) && !("limit" in out));
});

test("the preview fills in what it knows and marks what it does not", () => {
  const sample = { profile: { Name: "Ann", "first name": "A" }, event: { amount: 0 } };
  assert.equal(fillText('Hi {{ Profile.Name | upcase }}, {{Profile["first name"]}} {{- Event.amount }} {{ Profile.Nope | default: "you" }}', sample), "Hi ANN, A 0 you");
  assert.equal(fillText("{{ Profile.Nope }}{% if x %}y{% endif %}", sample), "‹Profile.Nope›y");
  assert.equal(fillText("{{ Profile.constructor.name }}", sample), "‹Profile.constructor.name›");
});

test("text messages are counted as networks do", () => {
  const gsm = { unicode: false, because: [] };
  assert.deepEqual(smsParts(""), { characters: 0, parts: 1, left: 160, ...gsm });
  assert.deepEqual(smsParts("a".repeat(160)), { characters: 160, parts: 1, left: 0, ...gsm });
  assert.deepEqual(smsParts("a".repeat(161)), { characters: 161, parts: 2, left: 145, ...gsm });
  assert.deepEqual(smsParts("€"), { characters: 2, parts: 1, left: 158, ...gsm });
  assert.deepEqual(smsParts("a\r\nb"), { characters: 3, parts: 1, left: 157, ...gsm });
  // A euro is not cut in two, so that 306 do not fit two parts.
  assert.deepEqual(smsParts("€".repeat(153)), { characters: 306, parts: 3, left: 151, ...gsm });
  assert.deepEqual(smsParts("न".repeat(71)), { characters: 71, parts: 2, left: 63, unicode: true, because: ["न"] });
  assert.deepEqual(smsParts("ok “👋” ok".repeat(5) + "abcdefg"), { characters: 57, parts: 1, left: 13, unicode: true, because: ["“", "👋", "”"] });
  assert.equal(smsParts("न".repeat(66) + "👋" + "न".repeat(66)).parts, 3);
});

test("what fields put in does not count, and what is around them does", () => {
  assert.equal(written("Hi {{ Profile.Name }}, {{ Event.x | default: 'you' }}{% if a %}!{% endif %}"), "Hi , you!");
});
