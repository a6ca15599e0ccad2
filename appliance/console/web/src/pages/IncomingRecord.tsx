// A record at the doors: a line, which opens.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { clock } from "../parts/format";
import { colour } from "../parts/Json";

export const kinds: { [kind: string]: string } = { identify: "Became known", alias: "Alias", demerge: "Parted" };

export function Record({ at, state, what, who, source, short, facts, json, gone, children }: { at: string; state: ComponentChildren; what: ComponentChildren; who: string; source: string[]; short: ComponentChildren; facts: [string, ComponentChildren][]; json: unknown; gone?: string; children?: ComponentChildren }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>
        <time dateTime={at}>{clock(at)}</time>
        {state}
        <span class="incoming-what">{what}</span>
        <span class="incoming-who">{who}</span>
        <span class="incoming-source">{source.filter(Boolean).join(" · ")}</span>
        <span class="incoming-short">{short}</span>
      </summary>
      {open && (
        <div class="incoming-body">
          <dl>
            {facts
              .filter(([, v]) => v)
              .map(([k, v]) => (
                <div key={k}>
                  <dt>{k}</dt>
                  <dd>{v}</dd>
                </div>
              ))}
          </dl>
          {json != null && (
            <pre class="example" tabIndex={0} aria-label="The record">
              {colour(JSON.stringify(json, null, 2))}
            </pre>
          )}
          {gone && <p class="note">{gone}</p>}
          {children}
        </div>
      )}
    </details>
  );
}
