// What a push has beyond title, text and link.
import { useState } from "preact/hooks";
import type { PushContent } from "../api/types";
import { Button } from "../parts/Button";
import { Check, Field, Input, useMistake } from "../parts/Field";
import { pushSent } from "../question/campaign";

const platforms = [
  { id: "fcm", name: "Android" },
  { id: "apns", name: "iOS" },
  { id: "webpush", name: "Browsers" },
];

interface Props {
  push: PushContent;
  set: (p: PushContent) => void;
  focus: (e: Event) => void;
  platforms: string[];
}

export function PushPart({ push, set, focus, platforms: only }: Props) {
  const put = (change: PushContent) => set({ ...push, ...change });
  const text = (field: "subtitle" | "image" | "badge" | "sound" | "channel" | "category" | "thread" | "collapse", label: string, hint: string, liquid = false, placeholder?: string) => (
    <Field label={label} path={`content.push.${field}`} hint={hint}>
      {(a) => <Input {...a} value={push[field] ?? ""} onValue={(v) => put({ [field]: v })} placeholder={placeholder} {...(liquid ? { onFocus: focus } : { maxLength: 128 })} />}
    </Field>
  );
  return (
    <>
      {text("image", "Image", "An https address.", true, "https://cdn.example/{{ Event.sku }}.png")}
      <Buttons push={push} put={put} focus={focus} />
      <details class="hints" open={pushSent({ ...push, image: "", buttons: [] }) !== undefined}>
        <summary>More of a push</summary>
        <div class="push-more">
          <div class="two">
            {text("subtitle", "Subtitle", "iOS, and CleverTap's library on Android.", true)}
            {text("badge", "Number on the icon", "Empty: it stays as it is.", true)}
            {platforms
              .filter((p) => only.length === 0 || only.includes(p.id))
              .map((p) => (
                <Field key={p.id} label={`Opens, on ${p.name}`} path={`content.push.links.${p.id}`} hint="Empty: as above.">
                  {(a) => <Input {...a} value={push.links?.[p.id] ?? ""} onValue={(v) => put({ links: { ...push.links, [p.id]: v } })} onFocus={focus} />}
                </Field>
              ))}
            {text("sound", "Sound", "A file of the app's, or default.")}
            {text("channel", "Notification channel", "Android. Empty: as the connector is set up.")}
            {text("category", "Category", "iOS: a set of actions that the app registered.")}
            {text("thread", "Thread", "Notifications of one thread are shown together.")}
            {text("collapse", "Takes the place of", "A push replaces an earlier one with the same key.")}
          </div>
          <Data data={push.data ?? {}} set={(data) => put({ data })} focus={focus} />
          <Check checked={push.urgent ?? false} onChecked={(urgent) => put({ urgent })}>
            Urgent: it wakes the device
          </Check>
          <Check checked={push.silent ?? false} onChecked={(silent) => put({ silent })}>
            Silent: it shows nothing, and the app gets the keys above
          </Check>
        </div>
      </details>
    </>
  );
}

function Buttons({ push, put, focus }: { push: PushContent; put: (p: PushContent) => void; focus: (e: Event) => void }) {
  const all = push.buttons ?? [];
  const change = (i: number, b: Partial<(typeof all)[number]>) => put({ buttons: all.map((x, k) => (k === i ? { ...x, ...b } : x)) });
  const add = () => {
    let n = 1;
    while (all.some((b) => b.id === `button-${n}`)) n++;
    put({ buttons: [...all, { id: `button-${n}`, title: "" }] });
  };
  return (
    <>
      {all.map((b, i) => (
        <fieldset class="push-button" key={i}>
          <legend class="hidden">Button {i + 1}</legend>
          <Field label="Button" path={`content.push.buttons[${i}].title`}>
            {(a) => <Input {...a} value={b.title} onValue={(title) => change(i, { title })} onFocus={focus} placeholder="Buy" />}
          </Field>
          <Field label="Opens" path={`content.push.buttons[${i}].link`}>
            {(a) => <Input {...a} value={b.link ?? ""} onValue={(link) => change(i, { link })} onFocus={focus} placeholder="app://buy" />}
          </Field>
          <Field label="The app gets" path={`content.push.buttons[${i}].id`}>
            {(a) => <Input {...a} value={b.id} onValue={(id) => change(i, { id })} maxLength={64} />}
          </Field>
          <Button small kind="quiet" onClick={() => put({ buttons: all.filter((_, k) => k !== i) })}>
            Remove
          </Button>
        </fieldset>
      ))}
      {all.length < 3 && (
        <p>
          <Button small kind="quiet" onClick={add}>
            Add a button
          </Button>
        </p>
      )}
    </>
  );
}

// Data is kept as rows while it is written: a key that is half typed is one all
// the same, and two may be alike for a moment.
function Data({ data, set, focus }: { data: { [key: string]: string }; set: (d: { [key: string]: string }) => void; focus: (e: Event) => void }) {
  const [rows, setRows] = useState(Object.entries(data));
  const wrong = useMistake("content.push.data", true);
  const change = (next: [string, string][]) => {
    setRows(next);
    set(Object.fromEntries(next.filter(([k]) => k !== "")));
  };
  return (
    <div class="push-data">
      <p class="label">Keys for the app</p>
      {rows.map(([k, v], i) => (
        <div class="push-key" key={i}>
          <Input aria-label={`Key ${i + 1}`} value={k} onValue={(key) => change(rows.map((r, n) => (n === i ? [key, r[1]] : r)))} maxLength={64} placeholder="key" />
          <Input aria-label={`Value ${i + 1}`} value={v} onValue={(value) => change(rows.map((r, n) => (n === i ? [r[0], value] : r)))} onFocus={focus} placeholder="{{ Event.sku }}" />
          <Button small kind="quiet" onClick={() => change(rows.filter((_, n) => n !== i))}>
            Remove
          </Button>
        </div>
      ))}
      {wrong && <p class="field-error">{wrong}</p>}
      {rows.length < 20 && (
        <Button small kind="quiet" onClick={() => setRows([...rows, ["", ""]])}>
          Add a key
        </Button>
      )}
    </div>
  );
}
