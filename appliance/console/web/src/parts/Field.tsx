// Form fields. A mistake that the server found is shown at the field whose path
// it names; Mistakes carries them down.
import { createContext, type ComponentChildren, type InputHTMLAttributes } from "preact";
import { useContext, useId } from "preact/hooks";
import { ApiError, explain } from "../api/client";
import type { Mistake } from "../api/types";
import { sentence } from "./format";
import { Icon } from "./Icon";

export const Mistakes = createContext<Mistake[]>([]);

// mistakesOf is every mistake that an error names.
export function mistakesOf(e: unknown): Mistake[] {
  if (!(e instanceof ApiError)) return [];
  if (e.mistakes.length > 0) return e.mistakes;
  return e.path ? [{ path: e.path, message: e.message }] : [];
}

export function useMistake(path: string | undefined, deep = false): string | undefined {
  const all = useContext(Mistakes);
  if (!path) return undefined;
  const mine = all.filter((m) => m.path === path || (deep && (m.path.startsWith(path + ".") || m.path.startsWith(path + "["))));
  return mine.length ? mine.map((m) => (m.path === path ? sentence(m.message) : `${m.path}: ${sentence(m.message)}`)).join(" ") : undefined;
}

export function FieldError({ id, children }: { id?: string; children: ComponentChildren }) {
  return (
    <p class="field-error" id={id}>
      <Icon name="warn" size={14} />
      <span>{children}</span>
    </p>
  );
}

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  path?: string;
  deep?: boolean;
  error?: string;
  hideLabel?: boolean;
  children: (a: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean }) => ComponentChildren;
}

export function Field({ label, hint, path, deep, error, hideLabel, children }: FieldProps) {
  const id = useId();
  const found = useMistake(path, deep) ?? error;
  const described = [hint ? id + "h" : "", found ? id + "e" : ""].filter(Boolean).join(" ");
  const a: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean } = { id };
  if (described) a["aria-describedby"] = described;
  if (found) a["aria-invalid"] = true;
  return (
    <div class={`field${found ? " wrong" : ""}`}>
      <label for={id} class={hideLabel ? "hidden" : undefined}>
        {label}
      </label>
      {children(a)}
      {hint && (
        <p class="field-hint" id={id + "h"}>
          {hint}
        </p>
      )}
      {found && <FieldError id={id + "e"}>{found}</FieldError>}
    </div>
  );
}

type InputProps = Omit<InputHTMLAttributes<HTMLInputElement>, "onInput" | "value" | "class"> & {
  value: string | number;
  onValue: (v: string) => void;
  class?: string;
};

export function Input({ value, onValue, class: extra, ...rest }: InputProps) {
  return <input class={`input${extra ? " " + extra : ""}`} value={value} onInput={(e) => onValue(e.currentTarget.value)} spellcheck={false} {...(rest as object)} />;
}

export function TextArea({ value, onValue, rows = 6, mono, ...rest }: { value: string; onValue: (v: string) => void; rows?: number; mono?: boolean; [key: string]: unknown }) {
  return <textarea class={`input area${mono ? " mono" : ""}`} rows={rows} value={value} onInput={(e) => onValue(e.currentTarget.value)} spellcheck={!mono} {...rest} />;
}

export interface Option {
  value: string;
  label: string;
}

export function Select({ value, onValue, options, class: extra, ...rest }: { value: string; onValue: (v: string) => void; options: Option[]; class?: string; [key: string]: unknown }) {
  return (
    <span class={`select${extra ? " " + extra : ""}`}>
      <select value={value} onChange={(e) => onValue(e.currentTarget.value)} {...rest}>
        {options.map((o) => (
          <option key={o.value} value={o.value}>
            {o.label}
          </option>
        ))}
      </select>
      <Icon name="down" size={14} />
    </span>
  );
}

// Choice is a small set of alternatives, all visible.
export function Choice({ value, onValue, options, label }: { value: string; onValue: (v: string) => void; options: Option[]; label: string }) {
  const name = useId();
  return (
    <div class="choice" role="radiogroup" aria-label={label}>
      {options.map((o) => (
        <label key={o.value} class={o.value === value ? "on" : undefined}>
          <input type="radio" name={name} value={o.value} checked={o.value === value} onChange={() => onValue(o.value)} />
          <span>{o.label}</span>
        </label>
      ))}
    </div>
  );
}

export function Check({ checked, onChecked, children }: { checked: boolean; onChecked: (v: boolean) => void; children: ComponentChildren }) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={(e) => onChecked(e.currentTarget.checked)} />
      <span>{children}</span>
    </label>
  );
}

// Summary lists the mistakes of a whole form, for those whose field is not in view.
export function Summary({ error, labels }: { error: unknown; labels?: { [path: string]: string } }) {
  if (!error) return null;
  const all = mistakesOf(error);
  return (
    <div class="notice bad" role="alert">
      <Icon name="warn" />
      <div>
        {all.length === 0 ? (
          <p>{sentence(explain(error))}</p>
        ) : (
          <>
            <p>{all.length === 1 ? "One thing is not right yet:" : `${all.length} things are not right yet:`}</p>
            <ul>
              {all.map((m) => (
                <li key={m.path + m.message}>
                  {m.path && <b>{labels?.[m.path] ?? <code>{m.path}</code>}</b>} {sentence(m.message)}
                </li>
              ))}
            </ul>
          </>
        )}
      </div>
    </div>
  );
}
