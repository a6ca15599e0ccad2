// The pieces that question editors are made of: an event, its conditions, a
// range of time, a property to split by.
import { publisher } from "../state/session";
import type { Json } from "../api/types";
import { newCondition, noFilter, ops, presets, type Condition, type FilterState, type RangeState, type RefState } from "../question/shared";
import type { Split } from "../question/trend";
import { Button, IconButton } from "./Button";
import { Combo, type Known } from "./Combo";
import { Choice, FieldError, Input, Select, useMistake } from "./Field";
import { compact, zone } from "./format";

export function eventsKnown(): Known[] {
  const all = publisher.value?.events ?? [];
  return [...all].sort((a, b) => Number(a.own) - Number(b.own) || b.rows - a.rows).map((e) => ({ value: e.name, note: compact(e.rows) }));
}

export function keysKnown(event: string, of: string): Known[] {
  const p = publisher.value;
  if (!p) return [];
  if (of === "profile") return p.profile.map((value) => ({ value }));
  const from = event ? p.events.filter((e) => e.name === event) : p.events;
  return [...new Set(from.flatMap((e) => e.keys ?? []))].sort().map((value) => ({ value }));
}

// EventPicker: an empty name means any event of the apps.
export function EventPicker({ value, onValue, label, path, required }: { value: string; onValue: (v: string) => void; label: string; path?: string; required?: boolean }) {
  const wrong = useMistake(path);
  return (
    <>
      <Combo value={value} onValue={onValue} known={eventsKnown()} label={label} placeholder={required ? "Choose an event" : "Any event"} invalid={!!wrong} />
      {wrong && <FieldError>{wrong}</FieldError>}
    </>
  );
}

const sources = [
  { value: "event", label: "Event" },
  { value: "profile", label: "Profile" },
  { value: "item", label: "Item" },
];

export function ConditionRow({ value: c, onValue, onRemove, event, fixed, path }: { value: Condition; onValue: (c: Condition) => void; onRemove?: () => void; event: string; fixed?: boolean; path?: string }) {
  const op = ops.find((o) => o.value === c.op);
  const wrong = useMistake(path, true);
  return (
    <div class="condition">
      <div class="condition-row">
        {!fixed && <Select aria-label="Where the property is" class="source" value={c.of} onValue={(of) => onValue({ ...c, of: of as Condition["of"], property: "" })} options={sources} />}
        <Combo value={c.property} onValue={(property) => onValue({ ...c, property })} known={keysKnown(event, c.of)} label="Property" placeholder="Property" />
        <Select aria-label="Comparison" class="op" value={c.op} onValue={(o) => onValue({ ...c, op: o })} options={ops} />
        {!op?.bare && <Input aria-label="Value" class="value" value={c.value} onValue={(value) => onValue({ ...c, value })} placeholder={op?.list ? (c.op === "between" ? "1, 10" : "a, b, c") : "Value"} />}
        {onRemove && <IconButton small icon="close" label="Remove this condition" onClick={onRemove} />}
      </div>
      {wrong && <FieldError>{wrong}</FieldError>}
    </div>
  );
}

export function FilterEditor({ value: f, onValue, event, path }: { value: FilterState; onValue: (f: FilterState) => void; event: string; path?: string }) {
  const wrong = useMistake(path, true);
  if (f.raw !== undefined) {
    return (
      <div class="filter">
        <div class="raw">
          <code>{short(f.raw)}</code>
          <Button small kind="quiet" onClick={() => onValue(noFilter())}>
            Remove
          </Button>
        </div>
        {wrong && <FieldError>{wrong}</FieldError>}
      </div>
    );
  }
  const set = (i: number, c: Condition) => onValue({ ...f, rows: f.rows.map((r, j) => (j === i ? c : r)) });
  return (
    <div class="filter">
      {f.rows.length > 1 && (
        <Choice
          label="How the conditions are joined"
          value={f.join}
          onValue={(join) => onValue({ ...f, join: join as "all" | "any" })}
          options={[
            { value: "all", label: "all of" },
            { value: "any", label: "any of" },
          ]}
        />
      )}
      {f.rows.map((c, i) => (
        <ConditionRow key={i} value={c} event={event} onValue={(x) => set(i, x)} onRemove={() => onValue({ ...f, rows: f.rows.filter((_, j) => j !== i) })} />
      ))}
      {wrong && <FieldError>{wrong}</FieldError>}
      <Button small kind="quiet" icon="plus" onClick={() => onValue({ ...f, rows: [...f.rows, newCondition()] })}>
        {f.rows.length ? "And where" : "Where"}
      </Button>
    </div>
  );
}

const short = (v: Json) => {
  const t = JSON.stringify(v);
  return t.length > 120 ? t.slice(0, 117) + "…" : t;
};

export function RefEditor({ value, onValue, label, path, required }: { value: RefState; onValue: (r: RefState) => void; label: string; path?: string; required?: boolean }) {
  return (
    <div class="ref">
      <EventPicker value={value.event} onValue={(event) => onValue({ ...value, event })} label={label} path={path ? path + ".event" : undefined} required={required} />
      <FilterEditor value={value.filter} onValue={(filter) => onValue({ ...value, filter })} event={value.event} path={path ? path + ".filter" : undefined} />
    </div>
  );
}

export function RangePicker({ value: r, onValue }: { value: RangeState; onValue: (r: RangeState) => void }) {
  const from = useMistake("from");
  const to = useMistake("to");
  return (
    <div class="range">
      <Select aria-label="Range" value={r.last} onValue={(last) => onValue({ ...r, last })} options={presets} />
      {r.last === "custom" && (
        <div class="range-dates">
          <Input type="date" aria-label="From, included" value={r.from} onValue={(v) => onValue({ ...r, from: v })} />
          <span aria-hidden="true">to</span>
          <Input type="date" aria-label="To, included" value={r.to} onValue={(v) => onValue({ ...r, to: v })} />
        </div>
      )}
      {(from || to) && <FieldError>{from ?? to}</FieldError>}
      <p class="field-hint">Whole days in {zone()}.</p>
    </div>
  );
}

export function SplitPicker({ value, onValue, event }: { value: Split | null; onValue: (s: Split | null) => void; event: string }) {
  const wrong = useMistake("breakdown", true);
  if (!value) {
    return (
      <Button small kind="quiet" icon="plus" onClick={() => onValue({ property: "", of: "event" })}>
        Split by a property
      </Button>
    );
  }
  return (
    <>
      <div class="condition-row">
        <Select aria-label="Where the property is" class="source" value={value.of} onValue={(of) => onValue({ property: "", of: of as Split["of"] })} options={sources} />
        <Combo value={value.property} onValue={(property) => onValue({ ...value, property })} known={keysKnown(event, value.of)} label="Property to split by" placeholder="Property" />
        <IconButton small icon="close" label="Do not split" onClick={() => onValue(null)} />
      </div>
      {wrong && <FieldError>{wrong}</FieldError>}
    </>
  );
}

export function SegmentPicker({ value, onValue, segments }: { value: string; onValue: (v: string) => void; segments: string[] }) {
  const wrong = useMistake("people", true);
  return (
    <>
      <Select aria-label="People" value={value} onValue={onValue} options={[{ value: "", label: "Everyone" }, ...[...new Set([...segments, ...(value ? [value] : [])])].map((s) => ({ value: s, label: s }))]} />
      {wrong && <FieldError>{wrong}</FieldError>}
    </>
  );
}
