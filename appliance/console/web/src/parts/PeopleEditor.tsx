// Who is meant: a list of conditions on what people did, who they are and how
// they can be reached; or the same as JSON.
import { useRef, useState } from "preact/hooks";
import type { Json } from "../api/types";
import { newClause, peopleJson, readPeople, type Clause, type PeopleState, type WhenState } from "../question/people";
import { publisher } from "../state/session";
import { ConditionRow, keysKnown, RefEditor } from "./Ask";
import { Button, IconButton } from "./Button";
import { Combo } from "./Combo";
import { Check, Choice, FieldError, Input, Select, TextArea, useMistake } from "./Field";
import { channel } from "./format";
import { parse } from "./Json";

export function PeopleEditor({ value, onValue, path, segments }: { value: Json; onValue: (v: Json) => void; path: string; segments: string[] }) {
  // The list holds rows that are still empty, which the expression does not; it
  // is read again only when the expression was changed by somebody else.
  const [state, setState] = useState(() => readPeople(value));
  const given = useRef(JSON.stringify(value));
  if (JSON.stringify(value) !== given.current) {
    given.current = JSON.stringify(value);
    setState(readPeople(value));
  }
  const [asJson, setAsJson] = useState(state === null);
  const [text, setText] = useState<string | null>(null);
  const wrong = useMistake(path, true);
  const parsed = text === null ? null : parse(text);
  const shown = asJson || state === null;

  return (
    <div class="people-editor">
      <Choice
        label="How the people are described"
        value={shown ? "json" : "list"}
        onValue={(v) => {
          setText(null);
          setAsJson(v === "json");
        }}
        options={[
          { value: "list", label: "Conditions" },
          { value: "json", label: "JSON" },
        ]}
      />
      {shown ? (
        <>
          {!asJson && state === null && <p class="field-hint">This expression says more than the list of conditions can show, so it is edited as JSON.</p>}
          <TextArea
            mono
            rows={14}
            aria-label="People expression as JSON"
            value={text ?? JSON.stringify(value, null, 2)}
            onValue={(t) => {
              setText(t);
              const p = parse(t);
              if (p.value !== undefined) onValue(p.value);
            }}
          />
          {parsed?.error && <FieldError>{parsed.error}</FieldError>}
        </>
      ) : (
        <Clauses
          state={state}
          segments={segments}
          onState={(s) => {
            const json = peopleJson(s);
            given.current = JSON.stringify(json);
            setState(s);
            onValue(json);
          }}
        />
      )}
      {wrong && <FieldError>{wrong}</FieldError>}
    </div>
  );
}

function Clauses({ state, onState, segments }: { state: PeopleState; onState: (s: PeopleState) => void; segments: string[] }) {
  const set = (i: number, c: Clause) => onState({ ...state, clauses: state.clauses.map((x, j) => (j === i ? c : x)) });
  const add = (c: Clause) => onState({ ...state, clauses: [...state.clauses, c] });
  return (
    <div class="clauses">
      {state.clauses.length > 1 && (
        <Choice
          label="How the conditions are joined"
          value={state.join}
          onValue={(join) => onState({ ...state, join: join as "all" | "any" })}
          options={[
            { value: "all", label: "People to whom all of this applies" },
            { value: "any", label: "any of this" },
          ]}
        />
      )}
      {state.clauses.length === 0 && <p class="note">Everyone. Add a condition to mean fewer.</p>}
      <ol>
        {state.clauses.map((c, i) => (
          <li key={i} class="clause">
            <ClauseEditor clause={c} onClause={(x) => set(i, x)} segments={segments} />
            <IconButton small icon="close" label="Remove this condition" onClick={() => onState({ ...state, clauses: state.clauses.filter((_, j) => j !== i) })} />
          </li>
        ))}
      </ol>
      <div class="add-row">
        <Button small icon="plus" onClick={() => add(newClause.did())}>Did</Button>
        <Button small icon="plus" onClick={() => add(newClause.did_not())}>Did not</Button>
        <Button small icon="plus" onClick={() => add(newClause.profile())}>Profile</Button>
        <Button small icon="plus" onClick={() => add(newClause.reachable(publisher.value?.channels[0]))}>Reachable</Button>
        <Button small icon="plus" onClick={() => add(newClause.consent(publisher.value?.purposes[0]?.name))}>Consent</Button>
        {segments.length > 0 && <Button small icon="plus" onClick={() => add(newClause.segment())}>Segment</Button>}
      </div>
    </div>
  );
}

const yesNo = (yes: string, no: string) => [
  { value: "yes", label: yes },
  { value: "no", label: no },
];

function ClauseEditor({ clause: c, onClause, segments }: { clause: Clause; onClause: (c: Clause) => void; segments: string[] }) {
  switch (c.kind) {
    case "did":
    case "did_not":
      return (
        <div class="clause-body">
          <div class="clause-line">
            <Select
              aria-label="Did or did not"
              class="verb"
              value={c.kind}
              onValue={(k) => onClause(k === "did" ? { ...c, kind: "did" } : { ...c, kind: "did_not", count: null, sum: null })}
              options={[
                { value: "did", label: "did" },
                { value: "did_not", label: "did not do" },
              ]}
            />
            <RefEditor value={c.ref} onValue={(ref) => onClause({ ...c, ref })} label="Event" />
          </div>
          <When value={c.when} onValue={(when) => onClause({ ...c, when })} />
          {c.kind === "did" && (
            <div class="clause-extra">
              <Check checked={c.count !== null} onChecked={(on) => onClause({ ...c, count: on ? { op: ">=", value: 2 } : null })}>
                a number of times
              </Check>
              {c.count && <Amount value={c.count} onValue={(count) => onClause({ ...c, count })} label="times" />}
              <Check checked={c.sum !== null} onChecked={(on) => onClause({ ...c, sum: on ? { property: "", op: ">=", value: 100 } : null })}>
                a sum of a property
              </Check>
              {c.sum && (
                <>
                  <Combo value={c.sum.property} onValue={(property) => onClause({ ...c, sum: { ...c.sum!, property } })} known={keysKnown(c.ref.event, "event")} label="Property to sum" placeholder="Property" />
                  <Amount value={c.sum} onValue={(a) => onClause({ ...c, sum: { ...c.sum!, ...a } })} label="sum" />
                </>
              )}
            </div>
          )}
        </div>
      );
    case "profile":
      return (
        <div class="clause-line">
          <span class="verb-text">profile</span>
          <ConditionRow fixed value={c.condition} event="" onValue={(condition) => onClause({ ...c, condition })} />
        </div>
      );
    case "reachable":
      return (
        <div class="clause-line">
          <Select aria-label="Reachable or not" class="verb" value={c.not ? "no" : "yes"} onValue={(v) => onClause({ ...c, not: v === "no" })} options={yesNo("can be reached", "cannot be reached")} />
          <ChannelSelect value={c.channel} onValue={(x) => onClause({ ...c, channel: x })} />
        </div>
      );
    case "consent":
      return (
        <div class="clause-line">
          <Select aria-label="Consent or none" class="verb" value={c.not ? "no" : "yes"} onValue={(v) => onClause({ ...c, not: v === "no" })} options={yesNo("agreed to", "did not agree to")} />
          <Select aria-label="Purpose" value={c.purpose} onValue={(purpose) => onClause({ ...c, purpose })} options={(publisher.value?.purposes ?? []).map((p) => ({ value: p.name, label: p.title || p.name }))} />
          <ChannelSelect value={c.channel} onValue={(x) => onClause({ ...c, channel: x })} />
        </div>
      );
    case "segment":
      return (
        <div class="clause-line">
          <Select aria-label="In or not in" class="verb" value={c.not ? "no" : "yes"} onValue={(v) => onClause({ ...c, not: v === "no" })} options={yesNo("is in", "is not in")} />
          <Combo free={false} value={c.name} onValue={(name) => onClause({ ...c, name })} known={segments.map((value) => ({ value }))} label="Segment" placeholder="Segment" />
        </div>
      );
  }
}

export function ChannelSelect({ value, onValue }: { value: string; onValue: (v: string) => void }) {
  const all = publisher.value?.channels.length ? publisher.value.channels : ["email", "sms", "push"];
  return <Select aria-label="Channel" value={value} onValue={onValue} options={[...new Set([...all, ...(value ? [value] : [])])].map((c) => ({ value: c, label: "by " + channel(c) }))} />;
}

function Amount({ value, onValue, label }: { value: { op: string; value: number }; onValue: (v: { op: string; value: number }) => void; label: string }) {
  return (
    <span class="amount">
      <Select
        aria-label={`Comparison of ${label}`}
        value={value.op}
        onValue={(op) => onValue({ op, value: value.value })}
        options={[
          { value: ">=", label: "at least" },
          { value: "<=", label: "at most" },
          { value: "=", label: "exactly" },
          { value: ">", label: "more than" },
          { value: "<", label: "less than" },
        ]}
      />
      <Input type="number" aria-label={label} class="short" value={value.value} onValue={(v) => onValue({ op: value.op, value: Number(v) || 0 })} />
    </span>
  );
}

function When({ value: w, onValue }: { value: WhenState; onValue: (w: WhenState) => void }) {
  return (
    <div class="when">
      <Select
        aria-label="When"
        value={w.kind}
        onValue={(k) => onValue(k === "ever" ? { kind: "ever" } : k === "last" ? { kind: "last", n: 30, unit: "day" } : { kind: "between", from: "", to: "" })}
        options={[
          { value: "ever", label: "ever" },
          { value: "last", label: "in the last" },
          { value: "between", label: "between" },
        ]}
      />
      {w.kind === "last" && (
        <>
          <Input type="number" min="1" class="short" aria-label="How many" value={w.n} onValue={(v) => onValue({ ...w, n: Math.max(1, Math.round(Number(v)) || 1) })} />
          <Select aria-label="Unit" value={w.unit} onValue={(unit) => onValue({ ...w, unit })} options={["minute", "hour", "day", "week", "month", "year"].map((u) => ({ value: u, label: u + (w.n === 1 ? "" : "s") }))} />
        </>
      )}
      {w.kind === "between" && (
        <>
          <Input type="date" aria-label="From, included" value={w.from} onValue={(from) => onValue({ ...w, from })} />
          <span>and</span>
          <Input type="date" aria-label="To, included" value={w.to} onValue={(to) => onValue({ ...w, to })} />
        </>
      )}
    </div>
  );
}
