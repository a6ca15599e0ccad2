import assert from "node:assert/strict";
import { test } from "node:test";

const heard: Record<string, (e: unknown) => void> = {};
const shown: [string, Record<string, unknown>][] = [];
const opened: string[] = [];
const fetched: string[] = [];
let windows: { url: string; focus: () => Promise<void> }[] = [];

Object.assign(globalThis, {
  self: {
    addEventListener: (name: string, f: (e: unknown) => void) => (heard[name] = f),
    registration: { showNotification: async (title: string, o: Record<string, unknown>) => void shown.push([title, o]) },
    clients: { matchAll: async () => windows, openWindow: async (url: string) => void opened.push(url), claim: async () => {} },
    skipWaiting: async () => {},
  },
  fetch: async (url: string) => {
    fetched.push(url);
    throw new Error("no network");
  },
});
await import("./worker");

async function dispatch(name: string, e: object): Promise<void> {
  let done: Promise<unknown> = Promise.resolve();
  heard[name]!({ ...e, waitUntil: (p: Promise<unknown>) => (done = p) });
  await done;
}
const push = (text: string | null) => dispatch("push", { data: text === null ? undefined : { text: () => text } });
const click = (data: object, action = "") => dispatch("notificationclick", { notification: { data, close() {} }, action });

test("a message is shown, and told as seen", async () => {
  await push(JSON.stringify({ title: "Hello", body: "Your cart waits", icon: "https://x/i.png", seen: "https://x/o/1", actions: [{ action: "go", title: "Go", link: "https://x/go" }] }));
  const [title, o] = shown.pop()!;
  assert.equal(title, "Hello");
  assert.equal(o.body, "Your cart waits");
  assert.deepEqual(o.actions, [{ action: "go", title: "Go" }]);
  assert.deepEqual(fetched.splice(0), ["https://x/o/1"]);
});

test("what is no message is shown all the same: a browser takes the right away from who shows nothing", async () => {
  for (const [text, title] of [["plain", "plain"], ["", ""], [null, ""], ["7", ""], ["null", ""], ['"x"', ""]] as const) {
    await push(text);
    assert.equal(shown.pop()?.[0], title, `${text}`);
  }
});

test("a click opens what it leads to, or the window that has it", async () => {
  const m = { link: "https://x/cart", actions: [{ action: "go", link: "https://x/go" }] };
  await click(m);
  await click(m, "go");
  assert.deepEqual(opened.splice(0), ["https://x/cart", "https://x/go"]);
  let focused = 0;
  windows = [{ url: "https://x/cart", focus: async () => void focused++ }];
  await click(m);
  assert.deepEqual([opened.length, focused], [0, 1]);
});

test("no address but a page's is opened or asked for", async () => {
  for (const link of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", 7, null, undefined]) await click({ link });
  await push(JSON.stringify({ title: "x", seen: "javascript:alert(1)" }));
  assert.deepEqual([opened, fetched], [[], []]);
});
