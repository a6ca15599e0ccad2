// Shows a mail's HTML while it is written. The console's policy forbids turning
// text into markup, so the text is read here, tag by tag, and what is known to
// be harmless is built as elements, in a shadow root of its own. Nothing is
// loaded: pictures are frames with their description.
import { h, render, type ComponentChild } from "preact";
import { useEffect, useRef } from "preact/hooks";

const kept = new Set("a abbr address article b blockquote br caption center code col colgroup dd div dl dt em figcaption figure footer h1 h2 h3 h4 h5 h6 header hr i li main ol p pre s section small span strong sub sup table tbody td tfoot th thead tr u ul font".split(" "));
const empty = new Set(["br", "hr", "col", "img", "meta", "link", "input"]);
const dropped = new Set(["script", "title", "head", "noscript", "svg", "object", "iframe", "form", "template"]);
const attributes = new Set(["align", "valign", "width", "height", "cellpadding", "cellspacing", "border", "colspan", "rowspan", "bgcolor", "dir", "lang", "class", "id", "color", "size", "face", "start"]);

interface Node {
  name: string;
  props: { [k: string]: unknown };
  children: (Node | string)[];
}

const token = /<!--[^]*?-->|<!doctype[^>]*>|<\/([a-z][a-z0-9]*)\s*>|<([a-z][a-z0-9]*)((?:"[^"]*"|'[^']*'|[^>"'])*)>|([^<]+|<)/gi;
const attribute = /([^\s=>"'/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g;
const named: { [k: string]: string } = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", ndash: "–", mdash: "—", hellip: "…", euro: "€", pound: "£", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", middot: "·", bull: "•", times: "×", zwnj: "\u200c" };

function decode(s: string): string {
  return s.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(\w+));/gi, (all, hex, dec, name) => {
    if (name) return named[name] ?? all;
    const code = hex ? parseInt(hex, 16) : parseInt(dec, 10);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : "";
  });
}

// read gives the harmless part of a mail, and its style sheets.
export function read(html: string): { root: Node; css: string } {
  const root: Node = { name: "div", props: {}, children: [] };
  const stack: Node[] = [root];
  let css = "";
  let skip = ""; // inside an element that is dropped with what it holds
  for (const m of html.slice(0, 300_000).matchAll(token)) {
    const [all, close, open, attrs, text] = m;
    const name = (open ?? close ?? "").toLowerCase();
    if (skip) {
      if (close && name === skip) skip = "";
      else if (skip === "style" && text !== undefined) css += all;
      continue;
    }
    const top = stack[stack.length - 1]!;
    if (text !== undefined) {
      top.children.push(decode(text));
    } else if (open) {
      if (name === "style" || (dropped.has(name) && name !== "head")) skip = name;
      else if (name === "img") top.children.push(picture(attrs ?? ""));
      else if (kept.has(name) || name === "body") {
        const node: Node = { name: name === "body" ? "div" : name, props: props(attrs ?? ""), children: [] };
        top.children.push(node);
        if (!empty.has(name) && !/\/\s*$/.test(attrs ?? "") && stack.length < 200) stack.push(node);
      }
    } else if (close) {
      const want = name === "body" ? "div" : name;
      const at = stack.findLastIndex((n, i) => i > 0 && n.name === want);
      if (at > 0) stack.length = at;
    }
  }
  return { root, css: css.replace(/url\([^)]*\)/gi, "none").replace(/@import[^;]*;/gi, "") };
}

function props(attrs: string): { [k: string]: unknown } {
  const out: { [k: string]: unknown } = {};
  for (const m of attrs.matchAll(attribute)) {
    const key = m[1]!.toLowerCase();
    const v = decode(m[2] ?? m[3] ?? m[4] ?? "");
    if (attributes.has(key)) out[key] = v;
    else if (key === "style") out["style"] = styles(v);
    else if (key === "href") {
      out["title"] = v;
      out["href"] = "#";
    }
  }
  return out;
}

function styles(text: string): { [k: string]: string } {
  const out: { [k: string]: string } = {};
  for (const d of text.split(";")) {
    const i = d.indexOf(":");
    if (i < 1) continue;
    const key = d.slice(0, i).trim().toLowerCase();
    const v = d.slice(i + 1).trim();
    if (!/^[a-z-]+$/.test(key) || /url\(|expression|position/i.test(key + v) || v === "fixed") continue;
    out[key.replace(/-([a-z])/g, (_, c: string) => c.toUpperCase())] = v.replace(/!important/i, "").trim();
  }
  return out;
}

function picture(attrs: string): Node {
  const p = props(attrs);
  const alt = /alt\s*=\s*(?:"([^"]*)"|'([^']*)')/i.exec(attrs);
  const style = { ...(p["style"] as object), ...(p["width"] ? { width: /^\d+$/.test(String(p["width"])) ? p["width"] + "px" : p["width"] } : {}) };
  return { name: "span", props: { class: "cloister-picture", style }, children: [decode(alt?.[1] ?? alt?.[2] ?? "") || "picture"] };
}

function build(n: Node | string): ComponentChild {
  return typeof n === "string" ? n : h(n.name, n.props as object, n.children.map(build));
}

const base = `:host{all:initial;display:block;color:#1b1b1b;background:#fff;font:15px/1.5 Arial,"Liberation Sans",sans-serif;overflow-wrap:anywhere}
.cloister-sheet{padding:20px}a{color:#1a55c4}p:first-child{margin-top:0}
.cloister-picture{display:inline-block;box-sizing:border-box;max-width:100%;min-height:40px;padding:10px;border:1px dashed #9a9a9a;color:#555;font-size:12px}`;

export function MailSheet({ html, label }: { html: string; label: string }) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const root = host.current!.shadowRoot ?? host.current!.attachShadow({ mode: "open" });
    const { root: mail, css } = read(html);
    const sheets = [base, css].map((text) => {
      const s = new CSSStyleSheet();
      s.replaceSync(text);
      return s;
    });
    root.adoptedStyleSheets = sheets;
    render(h("div", { class: "cloister-sheet", onClick: (e: Event) => e.preventDefault() }, build(mail)), root);
  }, [html]);
  return <div ref={host} class="mail-sheet" role="group" aria-label={label} />;
}
