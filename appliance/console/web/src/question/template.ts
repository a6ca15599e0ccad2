// A glance at a Liquid template: values put in, conditions not evaluated. The
// server renders the real thing; this is for seeing what one writes.

export interface Sample {
  profile: { [key: string]: unknown };
  event: { [key: string]: unknown };
}

export interface Piece {
  text: string;
  kind: "text" | "value" | "missing";
}

const tag = /\{\{-?\s*([^]*?)\s*-?\}\}|\{%-?\s*([^]*?)\s*-?%\}/g;

export function fill(template: string, sample: Sample): Piece[] {
  const out: Piece[] = [];
  let last = 0;
  for (const m of template.matchAll(tag)) {
    if (m.index > last) out.push({ text: template.slice(last, m.index), kind: "text" });
    if (m[1] !== undefined) out.push(output(m[1], sample));
    last = m.index + m[0].length;
  }
  if (last < template.length) out.push({ text: template.slice(last), kind: "text" });
  return out;
}

export const fillText = (template: string, sample: Sample) =>
  fill(template, sample)
    .map((p) => p.text)
    .join("");

export const hasConditions = (template: string) => /\{%-?\s*(if|unless|case|for)\b/.test(template);

function output(expression: string, sample: Sample): Piece {
  const [head, ...filters] = expression.split("|").map((s) => s.trim());
  let v = lookup(head ?? "", sample);
  for (const f of filters) {
    const m = /^(\w+)(?:\s*:\s*([^]*))?$/.exec(f);
    if (!m) continue;
    const arg = m[2]?.trim().replace(/^["']|["']$/g, "") ?? "";
    if (m[1] === "default" && (v === undefined || v === null || v === "")) v = arg;
    else if (typeof v === "string") {
      if (m[1] === "upcase") v = v.toUpperCase();
      else if (m[1] === "downcase") v = v.toLowerCase();
      else if (m[1] === "capitalize") v = v.charAt(0).toUpperCase() + v.slice(1);
    }
  }
  if (v === undefined || v === null || v === "") return { text: `‹${head}›`, kind: "missing" };
  return { text: typeof v === "object" ? JSON.stringify(v) : String(v), kind: "value" };
}

function lookup(path: string, sample: Sample): unknown {
  const text = /^["']([^]*)["']$/.exec(path);
  if (text) return text[1];
  if (path === "unsubscribe_url") return "https://example.invalid/unsubscribe";
  const [root, ...keys] = path.split(/\.|\[["']|["']\]\.?/).filter(Boolean);
  let v: unknown = root === "Profile" ? sample.profile : root === "Event" ? sample.event : undefined;
  for (const k of keys) v = typeof v === "object" && v !== null ? (v as { [k: string]: unknown })[k] : undefined;
  return v;
}

// written is what of a template stands in every message: values and conditions
// come on top.
export const written = (template: string) =>
  fill(template, { profile: {}, event: {} })
    .filter((p) => p.kind !== "missing")
    .map((p) => p.text)
    .join("");

// ---- length of a text message

const gsm = /^[@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&'()*+,\-./0-9:;<=>?¡A-ZÄÖÑÜ§¿a-zäöñüà\f^{}\\[~\]|€]$/;

export interface SmsLength {
  characters: number; // as they count
  parts: number;
  left: number; // before there is one part more
  unicode: boolean;
  because: string[]; // the characters that the GSM alphabet lacks, a few of them
}

// smsParts counts as connectors cut: what counts twice is never cut in two. A
// message has 160 characters of the GSM alphabet or 70 of Unicode; a part of
// several, 153 or 67.
export function smsParts(text: string): SmsLength {
  const all = [...text.replaceAll("\r\n", "\n")];
  const because = [...new Set(all.filter((c) => !gsm.test(c)))];
  const unicode = because.length > 0;
  const sizes = all.map((c) => (unicode ? c.length : "\f^{}\\[~]|€".includes(c) ? 2 : 1));
  const characters = sizes.reduce((n, s) => n + s, 0);
  const [one, many] = unicode ? [70, 67] : [160, 153];
  if (characters <= one) return { characters, parts: 1, left: one - characters, unicode, because: because.slice(0, 5) };
  let parts = 1;
  let room = many;
  for (const s of sizes) {
    if (s > room) {
      parts++;
      room = many;
    }
    room -= s;
  }
  return { characters, parts, left: room, unicode, because: because.slice(0, 5) };
}
