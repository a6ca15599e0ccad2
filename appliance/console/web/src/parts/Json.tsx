// A question's JSON: shown, copied, or written by hand.
import type * as preact from "preact";
import type { Json } from "../api/types";
import { Copy } from "./Button";

export function JsonView({ json, title, note }: { json: unknown; title: string; note?: string }) {
  const text = JSON.stringify(json, null, 2);
  return (
    <details class="json">
      <summary>
        <span>{title}</span>
      </summary>
      <div class="json-body">
        {note && <p class="note">{note}</p>}
        <div class="json-copy">
          <Copy text={text} />
        </div>
        <pre tabIndex={0} aria-label={title}>{colour(text)}</pre>
      </div>
    </details>
  );
}

// colour marks keys, texts and the rest, as elements: no markup is parsed.
export function colour(text: string) {
  const parts: preact.ComponentChild[] = [];
  const token = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  let last = 0;
  for (const m of text.matchAll(token)) {
    parts.push(text.slice(last, m.index));
    if (m[2] !== undefined) parts.push(<span class="j-key">{m[1]}</span>, m[2]);
    else parts.push(<span class={m[1] ? "j-text" : "j-value"}>{m[0]}</span>);
    last = m.index + m[0].length;
  }
  parts.push(text.slice(last));
  return parts;
}

// parse gives the value, or the sentence that says what is wrong.
export function parse(text: string): { value?: Json; error?: string } {
  try {
    return { value: JSON.parse(text) as Json };
  } catch (e) {
    return { error: `This is not JSON yet: ${(e as Error).message}` };
  }
}
