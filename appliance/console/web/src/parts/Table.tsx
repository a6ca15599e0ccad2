// A table of numbers or things, and the way to take it elsewhere as CSV.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { go } from "../state/router";
import { Button } from "./Button";

export interface Column<R> {
  head: string;
  number?: boolean;
  cell: (row: R) => ComponentChildren;
  text?: (row: R) => string | number | null | undefined; // for CSV and sorting
  width?: string;
  hide?: boolean; // on a phone
}

export function Table<R>({ rows, columns, label, href, more = 100, rowKey }: { rows: R[]; columns: Column<R>[]; label: string; href?: (row: R) => string; more?: number; rowKey?: (row: R) => string | number }) {
  const [shown, setShown] = useState(more);
  const visible = rows.slice(0, shown);
  return (
    <div class="table-wrap" tabIndex={0} role="region" aria-label={label}>
      <table class={href ? "linked" : undefined}>
        <thead>
          <tr>
            {columns.map((c) => (
              <th key={c.head} scope="col" class={cls(c)}>
                {c.head || <span class="hidden">Actions</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {visible.map((r, i) => (
            <tr
              key={rowKey ? rowKey(r) : i}
              onClick={
                href &&
                ((e) => {
                  if (!(e.target as Element).closest("a,button,input")) go(href(r));
                })
              }
            >
              {columns.map((c, j) =>
                j === 0 ? (
                  <th key={c.head} scope="row" class={cls(c)}>
                    {href ? <a href={href(r)}>{c.cell(r)}</a> : c.cell(r)}
                  </th>
                ) : (
                  <td key={c.head} class={cls(c)} data-head={c.head}>
                    {c.cell(r)}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > shown && (
        <div class="table-more">
          <Button small onClick={() => setShown(shown + 500)}>
            Show more of {rows.length.toLocaleString("en-GB")}
          </Button>
        </div>
      )}
    </div>
  );
}

function cls<R>(c: Column<R>): string | undefined {
  return [c.number ? "number" : "", c.hide ? "roomy" : ""].filter(Boolean).join(" ") || undefined;
}

export function csv(heads: string[], rows: (string | number | null | undefined)[][]): string {
  const cell = (v: string | number | null | undefined) => {
    let s = v == null ? "" : String(v);
    // A spreadsheet must not take data for a formula.
    if (typeof v === "string" && /^[=+\-@\t\r]/.test(s)) s = "'" + s;
    return /[",\n\r]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s;
  };
  return [heads, ...rows].map((r) => r.map(cell).join(",")).join("\r\n") + "\r\n";
}

export function download(name: string, text: string, type = "text/csv") {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
