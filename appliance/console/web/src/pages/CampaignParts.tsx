// The parts of a campaign's form that say when, to whom and within what limits.
import type { Json } from "../api/types";
import { useRef, useState } from "preact/hooks";
import { keysKnown, RefEditor } from "../parts/Ask";
import { Button } from "../parts/Button";
import { Combo } from "../parts/Combo";
import { Check, Choice, Field, FieldError, Input, Select, useMistake } from "../parts/Field";
import { channel, title, zone } from "../parts/format";
import { Panel } from "../parts/Page";
import { PeopleEditor } from "../parts/PeopleEditor";
import { durationUnits, eventOf, splitDuration, triggerKinds } from "../question/campaign";
import { everyone, isEveryone } from "../question/people";
import { readRef, refJson, type RefState } from "../question/shared";
import { publisher } from "../state/session";
import type { PartProps } from "./CampaignEdit";
import { useSegments } from "./Trends";

function RefField({ label, value, onValue, path }: { label: string; value: Json | undefined; onValue: (v: Json) => void; path: string }) {
  // As in PeopleEditor: rows that are still empty live here only.
  const [ref, setRef] = useState(() => readRef(value));
  const given = useRef(JSON.stringify(value));
  if (JSON.stringify(value) !== given.current) {
    given.current = JSON.stringify(value);
    setRef(readRef(value));
  }
  const change = (r: RefState) => {
    const json = refJson(r, true);
    given.current = JSON.stringify(json);
    setRef(r);
    onValue(json);
  };
  const wrong = useMistake(path);
  return (
    <div class="field">
      <span class="label">{label}</span>
      <RefEditor required label={label} value={ref} onValue={change} path={path} />
      {wrong && <FieldError>{wrong}</FieldError>}
    </div>
  );
}

export function DurationField({ label, value, onValue, path, hint, none }: { label: string; value: string | undefined; onValue: (v: string) => void; path: string; hint?: string; none?: string }) {
  const { n, unit } = splitDuration(value);
  const set = (n: number, unit: string) => onValue(n > 0 ? `${n}${unit}` : "");
  return (
    <Field label={label} path={path} hint={hint}>
      {(a) => (
        <div class="pair">
          <Input {...a} type="number" min="0" class="short" value={value ? n : ""} placeholder={none} onValue={(v) => set(Math.max(0, Math.round(Number(v)) || 0), unit)} />
          <Select aria-label={`${label}, unit`} value={unit} onValue={(u) => set(n, u)} options={durationUnits} />
        </div>
      )}
    </Field>
  );
}

export function TriggerPart({ c, set }: PartProps) {
  const segments = useSegments();
  const t = c.trigger;
  const change = (x: Partial<typeof t>) => set({ trigger: { ...t, ...x } });
  return (
    <Panel title="When">
      <div class="cards" role="radiogroup" aria-label="What makes it go out">
        {triggerKinds.map((k) => (
          <label key={k.value} class={t.type === k.value ? "card on" : "card"}>
            <input type="radio" name="trigger" checked={t.type === k.value} onChange={() => change({ type: k.value })} />
            <b>{k.title}</b>
            <span>{k.text}</span>
          </label>
        ))}
      </div>
      {t.type !== "once" && t.type !== "api" && <RefField label={t.type === "event" ? "On this event" : "Somebody does"} value={t.event} onValue={(event) => change({ event })} path="trigger.event" />}
      {t.type === "event" && <DurationField label="Wait" value={t.delay} onValue={(delay) => change({ delay })} path="trigger.delay" none="0" hint="0 sends at once." />}
      {t.type === "inaction" && (
        <>
          <RefField label="And then does not do" value={t.without} onValue={(without) => change({ without })} path="trigger.without" />
          <DurationField label="Within" value={t.within ?? "1h"} onValue={(within) => change({ within })} path="trigger.within" />
          <Field label="Held constant" path="trigger.hold" deep hint="Properties, with commas, that must be the same in both events: one timer for each value. Often a cart or order id. May stay empty.">
            {(a) => <Input {...a} value={(t.hold ?? []).join(", ")} onValue={(v) => change({ hold: v.split(",").map((x) => x.trim()).filter(Boolean) })} />}
          </Field>
        </>
      )}
      {t.type === "once" && (
        <>
          <div class="field">
            <span class="label">To these people</span>
            <PeopleEditor value={t.audience ?? everyone} onValue={(audience) => change({ audience })} path="trigger.audience" segments={segments} />
          </div>
          <Field label="At" path="trigger.at" hint={`Empty: as soon as it is started. Your own clock is meant, ${Intl.DateTimeFormat().resolvedOptions().timeZone}; the publisher's is ${zone()}.`}>
            {(a) => <Input {...a} type="datetime-local" value={localTime(t.at)} onValue={(v) => change({ at: v ? new Date(v).toISOString() : undefined })} />}
          </Field>
        </>
      )}
    </Panel>
  );
}

function localTime(at: string | undefined): string {
  if (!at) return "";
  const d = new Date(at);
  return new Date(d.getTime() - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export function DeliveryPart({ c, set }: PartProps) {
  const p = publisher.value!;
  const channels = [...new Set([...(p.channels.length ? p.channels : ["email"]), c.channel])];
  const purpose = p.purposes.find((x) => x.name === c.purpose);
  return (
    <Panel title="By which way, and what for">
      <div class="row">
        <Field label="Channel" path="channel">
          {(a) => <Select {...a} value={c.channel} onValue={(channel) => set({ channel })} options={channels.map((x) => ({ value: x, label: channel(x) }))} />}
        </Field>
        <Field label="Purpose" path="purpose" hint={purpose ? (purpose.basis === "contract" ? "Needs no consent: it belongs to a contract." : "Goes only to those who agreed to this purpose on this channel.") : undefined}>
          {(a) => <Select {...a} value={c.purpose} onValue={(purpose) => set({ purpose })} options={[...(p.purposes.some((x) => x.name === c.purpose) ? [] : [{ value: c.purpose, label: c.purpose || "Choose" }]), ...p.purposes.map((x) => ({ value: x.name, label: x.title || x.name }))]} />}
        </Field>
        <Field label="Class" path="class" hint={c.class === "transactional" ? "Goes first, also in quiet hours." : "Waits for the end of quiet hours."}>
          {(a) => <Select {...a} value={c.class} onValue={(x) => set({ class: x })} options={["marketing", "transactional"].map((value) => ({ value, label: title(value) }))} />}
        </Field>
      </div>
    </Panel>
  );
}

// GoalPart says what the campaign is for, and whether it is to be proved.
export function GoalPart({ c, set }: PartProps) {
  const g = c.goal;
  const change = (x: Partial<NonNullable<typeof g>>) => set({ goal: { ...g!, ...x } });
  const known = keysKnown(g ? eventOf(g.event) : "", "event");
  return (
    <Panel title="What it is for">
      <Check checked={!!g} onChecked={(on) => set({ goal: on ? { event: {}, within: "7d" } : null })}>
        It should make people do something
      </Check>
      {g && (
        <>
          <RefField label="What people should do" value={g.event} onValue={(event) => change({ event })} path="goal.event" />
          <div class="row">
            <DurationField label="Within" value={g.within ?? "7d"} onValue={(within) => change({ within: within || undefined })} path="goal.within" none="7" hint="Of the message. Later is not counted." />
            <Field label="Its amount" path="goal.revenue" hint="The event's property with what was paid. May stay empty.">
              {(a) => <Combo id={a.id} describedBy={a["aria-describedby"]} value={g.revenue ?? ""} onValue={(revenue) => change({ revenue: revenue || undefined })} known={known} placeholder="None" />}
            </Field>
          </div>
        </>
      )}
      {c.class !== "transactional" && (
        <>
          <Check checked={!!c.control} onChecked={(on) => set({ control: on ? 10 : undefined })}>
            Keep a control group
          </Check>
          {!!c.control && (
            <Field label="Of 100 people" path="control" hint="So many, drawn by lot from those who would get the message, get nothing. What the others do more than they is what the campaign did.">
              {(a) => <Input {...a} type="number" min="1" max="99" class="short" value={c.control!} onValue={(v) => set({ control: Math.round(Number(v)) || 1 })} />}
            </Field>
          )}
        </>
      )}
    </Panel>
  );
}

export function LimitsPart({ c, set }: PartProps) {
  const segments = useSegments();
  const narrowed = c.people !== undefined && c.people !== null;
  return (
    <Panel title="Limits">
      <Check checked={!!c.limit} onChecked={(on) => set({ limit: on ? { per_person: 1, every: "7d" } : null })}>
        At most so many to one person
      </Check>
      {c.limit && (
        <div class="row">
          <Field label="Messages" path="limit.per_person">
            {(a) => <Input {...a} type="number" min="1" class="short" value={c.limit!.per_person} onValue={(v) => set({ limit: { ...c.limit!, per_person: Math.round(Number(v)) || 1 } })} />}
          </Field>
          <DurationField label="In every" value={c.limit.every} onValue={(every) => set({ limit: { per_person: c.limit!.per_person, ...(every && { every }) } })} path="limit.every" none="ever" hint="Empty: ever." />
        </div>
      )}
      <div class="row">
        <DurationField label="Worth sending for" value={c.expires_after ?? "24h"} onValue={(v) => set({ expires_after: v || undefined })} path="expires_after" hint="Later than this it is held instead." />
        <div class="field">
          <span class="label">If it fell due while the appliance was off</span>
          <Choice label="If it fell due while the appliance was off" value={c.missed ?? "send"} onValue={(missed) => set({ missed })} options={[{ value: "send", label: "Send while worth it" }, { value: "drop", label: "Drop" }]} />
        </div>
      </div>
      <Check checked={narrowed} onChecked={(on) => set({ people: on ? everyone : undefined })}>
        Only to people who, at the moment of sending, also fit
      </Check>
      {narrowed && <PeopleEditor value={c.people!} onValue={(people) => set({ people })} path="people" segments={segments} />}
      {narrowed && isEveryone(c.people) && (
        <Button small kind="quiet" onClick={() => set({ people: undefined })}>
          Leave it at everyone
        </Button>
      )}
    </Panel>
  );
}
