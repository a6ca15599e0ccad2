// How numbers, times and values are written. Times are in the publisher's zone,
// which every page that shows them names.
import type { Json } from "../api/types";
import { publisher } from "../state/session";

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 2 });
const compactly = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });

export function num(n: number | null | undefined): string {
  if (n == null || !Number.isFinite(n)) return "–";
  return Number.isInteger(n) ? whole.format(n) : fine.format(n);
}

export function compact(n: number): string {
  return Math.abs(n) < 10_000 ? num(n) : compactly.format(n);
}

export function percent(fraction: number | null | undefined, digits = 1): string {
  if (fraction == null || !Number.isFinite(fraction)) return "–";
  return (fraction * 100).toLocaleString("en-GB", { maximumFractionDigits: digits, minimumFractionDigits: 0 }) + " %";
}

export function plural(n: number, one: string, many = one + "s"): string {
  return `${num(n)} ${n === 1 ? one : many}`;
}

export const zone = () => publisher.value?.timezone ?? "UTC";

const formats = new Map<string, Intl.DateTimeFormat>();
function format(kind: string, o: Intl.DateTimeFormatOptions, tz = zone()): Intl.DateTimeFormat {
  const key = kind + tz;
  let f = formats.get(key);
  if (!f) formats.set(key, (f = new Intl.DateTimeFormat("en-GB", { ...o, timeZone: tz })));
  return f;
}

function instant(t: string | number | null | undefined): Date | null {
  if (t == null || t === "") return null;
  // Whole numbers are microseconds, as decisions keep them.
  const d = new Date(typeof t === "number" ? t / 1000 : t);
  return Number.isNaN(d.getTime()) || d.getFullYear() < 1971 ? null : d;
}

export function dateTime(t: string | number | null | undefined): string {
  const d = instant(t);
  return d ? format("dt", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" }).format(d) : "–";
}

export function dateTimeSeconds(t: string | null | undefined): string {
  const d = instant(t);
  return d
    ? format("dts", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(d)
    : "–";
}

export function clock(t: string): string {
  const d = instant(t);
  return d ? format("c", { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(d) : "–";
}

export function date(t: string | null | undefined): string {
  const d = instant(t);
  return d ? format("d", { day: "numeric", month: "short", year: "numeric" }).format(d) : "–";
}

// dayOf is the date of an instant in the publisher's zone, as 2011-11-01.
export function dayOf(d: Date, tz = zone()): string {
  const parts = format("iso", { year: "numeric", month: "2-digit", day: "2-digit" }, tz).formatToParts(d);
  const part = (type: string) => parts.find((p) => p.type === type)!.value;
  return `${part("year")}-${part("month")}-${part("day")}`;
}

export function addDays(day: string, n: number): string {
  const d = new Date(day + "T00:00:00Z");
  d.setUTCDate(d.getUTCDate() + n);
  return d.toISOString().slice(0, 10);
}

// bucketName writes a bucket of a trend the way people say it.
export function bucketName(bucket: string, interval: string, short = false): string {
  if (bucket === "all") return "Whole range";
  if (bucket.length > 10) {
    const d = instant(bucket);
    return d ? format(short ? "bs" : "bl", short ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" }).format(d) : bucket;
  }
  const d = new Date(bucket + "T00:00:00Z");
  if (Number.isNaN(d.getTime())) return bucket;
  switch (interval) {
    case "month":
      return format("bm", { month: short ? "short" : "long", year: "numeric" }, "UTC").format(d);
    case "quarter":
      return `Q${Math.floor(d.getUTCMonth() / 3) + 1} ${d.getUTCFullYear()}`;
    case "year":
      return String(d.getUTCFullYear());
  }
  const day = format(short ? "bds" : "bd", short ? { day: "numeric", month: "short" } : { weekday: "short", day: "numeric", month: "short", year: "numeric" }, "UTC").format(d);
  return interval === "week" && !short ? `Week of ${format("bw", { day: "numeric", month: "short", year: "numeric" }, "UTC").format(d)}` : day;
}

export function ago(t: string | null | undefined, now = Date.now()): string {
  const d = instant(t);
  if (!d) return "–";
  const s = Math.round((now - d.getTime()) / 1000);
  if (s < 0) return "in " + span(-s);
  if (s < 5) return "just now";
  return span(s) + " ago";
}

export function span(seconds: number | null | undefined): string {
  if (seconds == null) return "–";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  if (s < 86_400) return `${fine1(s / 3600)} h`;
  return `${fine1(s / 86_400)} ${s >= 86_400 * 1.95 ? "days" : "day"}`;
}
const fine1 = (n: number) => (n >= 10 ? Math.round(n) : Math.round(n * 10) / 10).toString();

// took says how long an answer took.
export const took = (ms: number) => (ms < 1 ? "less than 1 ms" : num(ms) + " ms");

// value writes a property's value, also where it is a list or missing.
export function value(v: Json | undefined): string {
  if (v === null || v === undefined) return "none";
  if (v === "") return "empty text";
  if (typeof v === "number") return num(v);
  if (typeof v === "boolean") return v ? "yes" : "no";
  if (typeof v === "string") return v;
  if (Array.isArray(v) && v.every((x) => typeof x !== "object")) return v.map(value).join(", ");
  return JSON.stringify(v);
}

// sentence makes a message of the server one: it begins large and ends.
export function sentence(text: string): string {
  const t = title(text.trim());
  return t === "" || /[.!?:)\]}"”]$/.test(t) ? t : t + ".";
}

// isId: ids of messages and the like say nothing to people.
export const isId = (v: Json | undefined) => typeof v === "string" && /^[0-9a-f]{24,}$/.test(v);

export function title(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export const channelName: { [c: string]: string } = { email: "E-mail", sms: "SMS", push: "Push", webhook: "Webhook" };
export const channel = (c: string) => channelName[c] ?? title(c);
