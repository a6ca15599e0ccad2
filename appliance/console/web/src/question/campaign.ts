// A campaign as its form holds it, and helpers for the durations in it.
import type { Campaign, Json, PushContent } from "../api/types";
import { everyone } from "./people";

export const states: { [s: string]: string } = { draft: "Draft", running: "Running", paused: "Paused", ended: "Ended" };

// labels are the names that the form gives to a campaign's fields.
export const labels: { [path: string]: string } = {
  id: "Id", name: "Name", channel: "Channel", purpose: "Purpose", class: "Class", people: "Also fit", missed: "While off", expires_after: "Worth sending for", limit: "Limit",
  "limit.per_person": "Messages to one person", "limit.every": "In every",
  goal: "Goal", "goal.event": "What people should do", "goal.within": "Within", "goal.revenue": "Its amount", control: "Control group",
  "content.subject": "Subject", "content.html": "HTML", "content.text": "Text", "content.title": "Title", "content.link": "Opens",
  "content.sender": "Sender", "content.template": "Template id",
  "content.push.image": "Image", "content.push.subtitle": "Subtitle", "content.push.badge": "Number on the icon", "content.push.buttons": "Buttons", "content.push.data": "Keys for the app",
  "content.push.sound": "Sound", "content.push.channel": "Notification channel", "content.push.category": "Category", "content.push.thread": "Thread", "content.push.collapse": "Takes the place of",
  trigger: "When", "trigger.type": "When", "trigger.event": "Event", "trigger.without": "And then does not do", "trigger.within": "Within", "trigger.delay": "Wait",
  "trigger.hold": "Held constant", "trigger.audience": "To these people", "trigger.at": "At",
};

export const triggerKinds = [
  { value: "event", title: "When something happens", text: "Somebody does a thing: write at once, or after a while." },
  { value: "inaction", title: "When something fails to happen", text: "Somebody begins and does not finish: the abandoned cart." },
  { value: "once", title: "Once, to a group", text: "A segment of people, now or at a date." },
] as const;

export function newCampaign(o: { channel: string; purpose: string; event: string }): Campaign {
  return {
    id: "",
    name: "",
    state: "draft",
    channel: o.channel,
    purpose: o.purpose,
    class: "marketing",
    content: {},
    trigger: { type: "event", event: o.event ? { event: o.event } : {} },
  };
}

// sent is the campaign without what the server counts itself, and without what
// has no meaning for its kind of trigger and channel.
export function sent(c: Campaign): Campaign {
  const { progress: _p, revision: _r, ...rest } = c;
  const t = c.trigger;
  const trigger: Campaign["trigger"] = { type: t.type };
  if (t.type === "once") {
    trigger.audience = t.audience ?? everyone;
    if (t.at) trigger.at = t.at;
  } else if (t.type !== "api") {
    trigger.event = t.event ?? {};
    if (t.type === "event" && t.delay) trigger.delay = t.delay;
    if (t.type === "inaction") {
      trigger.without = t.without ?? {};
      trigger.within = t.within || "1h";
      if (t.hold?.length) trigger.hold = t.hold;
    }
  }
  const fields: Exclude<keyof Campaign["content"], "push">[] = c.channel === "email" ? ["subject", "html", "text"] : c.channel === "push" ? ["title", "text", "link"] : c.channel === "sms" ? ["text", "sender", "template"] : ["text"];
  const content: Campaign["content"] = {};
  for (const f of fields) if (c.content[f]) content[f] = c.content[f];
  const push = c.channel === "push" && pushSent(c.content.push);
  if (push) content.push = push;
  const out: Campaign = { ...rest, trigger, content };
  if (out.people === undefined || out.people === null) delete out.people;
  if (!out.limit) delete out.limit;
  if (!out.variant) delete out.variant;
  if (!out.control || out.class === "transactional") delete out.control;
  if (out.goal) out.goal = { event: out.goal.event, ...(out.goal.within && { within: out.goal.within }), ...(out.goal.revenue && { revenue: out.goal.revenue }) };
  else delete out.goal;
  return out;
}

// pushSent is what a push says beyond title, text and link, without what is
// empty; undefined if that is nothing.
export function pushSent(p?: PushContent): PushContent | undefined {
  const out: { [field: string]: unknown } = {};
  for (const [field, v] of Object.entries(p ?? {})) {
    const kept = Array.isArray(v) ? v : v && typeof v === "object" ? Object.fromEntries(Object.entries(v).filter(([, t]) => t !== "")) : v;
    if (kept && (typeof kept !== "object" || Object.keys(kept).length > 0)) out[field] = kept;
  }
  return Object.keys(out).length > 0 ? (out as PushContent) : undefined;
}

export function idOf(name: string): string {
  return name
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 64);
}

// ---- durations: "90m", "7d", and what the server writes, as "1h30m0s"

export const durationUnits = [
  { value: "s", label: "seconds", seconds: 1 },
  { value: "m", label: "minutes", seconds: 60 },
  { value: "h", label: "hours", seconds: 3600 },
  { value: "d", label: "days", seconds: 86_400 },
  { value: "w", label: "weeks", seconds: 604_800 },
];

export function durationSeconds(text: string | undefined): number {
  let total = 0;
  for (const m of (text ?? "").matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) {
    total += Number(m[1]) * (m[2] === "ms" ? 0.001 : durationUnits.find((u) => u.value === m[2])!.seconds);
  }
  return total;
}

export function splitDuration(text: string | undefined): { n: number; unit: string } {
  const s = durationSeconds(text);
  for (const u of [...durationUnits].reverse()) if (s >= u.seconds && s % u.seconds === 0) return { n: s / u.seconds, unit: u.value };
  return { n: 0, unit: "m" };
}

export function sayDuration(text: string | undefined): string {
  const { n, unit } = splitDuration(text);
  const label = durationUnits.find((u) => u.value === unit)!.label;
  return `${n} ${n === 1 ? label.slice(0, -1) : label}`;
}

export const eventOf = (v: Json | undefined) => (typeof v === "object" && v !== null && !Array.isArray(v) && typeof v["event"] === "string" ? v["event"] : "any event");

// sayTrigger puts a trigger into a sentence.
export function sayTrigger(c: Campaign): string {
  const t = c.trigger;
  switch (t.type) {
    case "event":
      return durationSeconds(t.delay) > 0 ? `${sayDuration(t.delay)} after ${eventOf(t.event)}` : `At once, on ${eventOf(t.event)}`;
    case "inaction":
      return `${eventOf(t.event)}, then no ${eventOf(t.without)} within ${sayDuration(t.within)}`;
    case "api":
      return "When a server calls";
    case "once":
      return t.at ? "Once, at a date" : "Once, when started";
  }
}
