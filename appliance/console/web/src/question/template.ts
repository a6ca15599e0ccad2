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

// ---- length of a text message

const gsm = /^[@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&'()*+,\-./0-9:;<=>?¡A-ZÄÖÑÜ§¿a-zäöñüà^{}\\[~\]|€]*$/;

export function smsParts(text: string): { characters: number; parts: number; unicode: boolean } {
  const plain = gsm.test(text);
  const characters = plain ? [...text].reduce((n, c) => n + ("^{}\\[~]|€".includes(c) ? 2 : 1), 0) : text.length;
  const [one, many] = plain ? [160, 153] : [70, 67];
  return { characters, parts: characters <= one ? 1 : Math.ceil(characters / many), unicode: !plain };
}
