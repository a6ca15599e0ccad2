// What is sent: templates, with the fields that can stand in them.
import { useRef, useState } from "preact/hooks";
import { Button } from "../parts/Button";
import { keysKnown } from "../parts/Ask";
import { Choice, Field, Input, TextArea } from "../parts/Field";
import { num, plural } from "../parts/format";
import { Panel } from "../parts/Page";
import { readRef } from "../question/shared";
import { smsParts, written } from "../question/template";
import type { PartProps } from "./CampaignEdit";
import { PushPart } from "./CampaignPush";

type Part = "subject" | "html" | "text" | "title" | "link" | "sender" | "template";

const starter = `<p>Hello {{ Profile.Name | default: "there" }},</p>
<p>you left something behind. It is still here.</p>
<p><a href="https://shop.example/cart">Back to the cart</a></p>
<p><small><a href="{{ unsubscribe_url }}">No more of these</a></small></p>`;

export function ContentPart({ c, set }: PartProps) {
  const last = useRef<HTMLInputElement | HTMLTextAreaElement | null>(null);
  const [format, setFormat] = useState<Part>(c.content.text && !c.content.html ? "text" : "html");
  const put = (part: Part, v: string) => set({ content: { ...c.content, [part]: v } });
  const focus = (e: Event) => (last.current = e.currentTarget as HTMLInputElement);

  // insert puts a field where the author writes, as if typed there, or at the
  // end of the body.
  const insert = (text: string) => {
    const at = last.current;
    if (!at?.isConnected) {
      const part = c.channel === "email" ? format : "text";
      put(part, (c.content[part] ?? "") + text);
      return;
    }
    at.setRangeText(text, at.selectionStart ?? at.value.length, at.selectionEnd ?? at.value.length, "end");
    at.dispatchEvent(new Event("input", { bubbles: true }));
    at.focus();
  };
  return (
    <Panel title="Content" note="Liquid templates">
      {c.channel === "email" && (
        <>
          <Field label="Subject" path="content.subject">
            {(a) => <Input {...a} value={c.content.subject ?? ""} onValue={(v) => put("subject", v)} onFocus={focus} placeholder="Still there, {{ Profile.Name | default: &quot;friend&quot; }}?" />}
          </Field>
          <div class="tabs">
            <Choice label="Body" value={format} onValue={(v) => setFormat(v as Part)} options={[{ value: "html", label: "HTML" }, { value: "text", label: "Plain text" }]} />
            {format === "html" && !c.content.html && (
              <Button small kind="quiet" onClick={() => put("html", starter)}>
                Start from an example
              </Button>
            )}
          </div>
          {format === "html" ? (
            <Field label="HTML" path="content.html">
              {(a) => <TextArea {...a} mono rows={14} value={c.content.html ?? ""} onValue={(v) => put("html", v)} onFocus={focus} />}
            </Field>
          ) : (
            <Field label="Plain text" path="content.text" hint="Empty: it is made from the HTML.">
              {(a) => <TextArea {...a} rows={12} value={c.content.text ?? ""} onValue={(v) => put("text", v)} onFocus={focus} />}
            </Field>
          )}
        </>
      )}
      {c.channel === "push" && (
        <>
          <Field label="Title" path="content.title">
            {(a) => <Input {...a} value={c.content.title ?? ""} onValue={(v) => put("title", v)} onFocus={focus} />}
          </Field>
          <Field label="Text" path="content.text">
            {(a) => <TextArea {...a} rows={4} value={c.content.text ?? ""} onValue={(v) => put("text", v)} onFocus={focus} />}
          </Field>
          <Field label="Opens" path="content.link" hint="Where a tap leads: an address, or a link into the app.">
            {(a) => <Input {...a} value={c.content.link ?? ""} onValue={(v) => put("link", v)} onFocus={focus} placeholder="app://cart" />}
          </Field>
          <PushPart push={c.content.push ?? {}} set={(push) => set({ content: { ...c.content, push } })} focus={focus} platforms={c.platforms ?? []} />
        </>
      )}
      {(c.channel === "sms" || c.channel === "webhook") && (
        <Field label={c.channel === "sms" ? "Text" : "Body"} path="content.text" hint={c.channel === "sms" ? <Length text={written(c.content.text ?? "")} /> : undefined}>
          {(a) => <TextArea {...a} rows={6} mono={c.channel === "webhook"} value={c.content.text ?? ""} onValue={(v) => put("text", v)} onFocus={focus} />}
        </Field>
      )}
      {c.channel === "sms" && (
        <div class="two">
          <Field label="Sender" path="content.sender" hint="A name of up to 11 characters, a number, or in India a registered header. Empty: as the connector is set up.">
            {(a) => <Input {...a} value={c.content.sender ?? ""} onValue={(v) => put("sender", v)} maxLength={16} />}
          </Field>
          <Field label="Template id" path="content.template" hint="Where texts have to be registered, as by DLT in India: the id of this one.">
            {(a) => <Input {...a} value={c.content.template ?? ""} onValue={(v) => put("template", v)} maxLength={64} />}
          </Field>
        </div>
      )}
      <Fields c={c} insert={insert} />
    </Panel>
  );
}

// Length is what a text message costs, without what fields put in.
function Length({ text }: { text: string }) {
  const s = smsParts(text);
  return (
    <>
      {plural(s.characters, "character")}, {plural(s.parts, "part")}; {num(s.left)} left in {s.parts === 1 ? "it" : "the last"}. What fields put in comes on top.
      {s.unicode && ` Parts are shorter because of ${s.because.join(" ")}: without it, twice as much and more would fit.`}
    </>
  );
}

function Fields({ c, insert }: { c: PartProps["c"]; insert: (text: string) => void }) {
  const access = (root: string, key: string) => (/^[A-Za-z_][A-Za-z0-9_-]*$/.test(key) ? `${root}.${key}` : `${root}["${key.replaceAll('"', "")}"]`);
  const profile = keysKnown("", "profile").map((k) => access("Profile", k.value));
  const event = c.trigger.type === "once" ? [] : keysKnown(readRef(c.trigger.event).event, "event").map((k) => access("Event", k.value));
  // Personal attributes are not among those that can be asked about, and just
  // they are wanted here.
  const all = [...new Set(["Profile.Name", ...profile.slice(0, 10), ...event.slice(0, 10)])];
  return (
    <div class="fields">
      <p class="label">Put in</p>
      <div class="chips">
        {all.map((f) => (
          <button type="button" class="chip mono" key={f} onClick={() => insert(`{{ ${f} }}`)}>
            {f}
          </button>
        ))}
        {c.channel === "email" && (
          <button type="button" class="chip mono" onClick={() => insert("{{ unsubscribe_url }}")}>
            unsubscribe_url
          </button>
        )}
      </div>
      <details class="hints">
        <summary>Hints on Liquid</summary>
        <ul>
          <li>
            <code>{'{{ Profile.Name | default: "there" }}'}</code> uses a word where the profile has none.
          </li>
          <li>
            <code>{"{% if Event.amount > 100 %}…{% endif %}"}</code> shows a part only where it is so.
          </li>
          <li>
            <code>{"{{ Event.amount | round: 2 }}"}</code>, <code>upcase</code>, <code>truncate: 40</code>, <code>date: "%d %b"</code> and the other filters of standard Liquid.
          </li>
          <li>
            <code>{'{% abort_message("nothing to say") %}'}</code> keeps this one message back, and its reason shows in the report.
          </li>
        </ul>
      </details>
    </div>
  );
}
