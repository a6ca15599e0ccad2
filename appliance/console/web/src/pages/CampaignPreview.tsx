// What one person would see.
import { useMemo, useState } from "preact/hooks";
import { get } from "../api/client";
import type { Campaign, Person } from "../api/types";
import { Combo } from "../parts/Combo";
import { plural } from "../parts/format";
import { MailSheet } from "../parts/MailSheet";
import { Panel } from "../parts/Page";
import { fillText, hasConditions, smsParts, type Sample } from "../question/template";
import { useLoad } from "../state/load";
import { api, can, publisher } from "../state/session";

const invented: Sample = {
  profile: { Name: "Ann", name: "Ann", FirstName: "Ann", first_name: "Ann", Email: "ann@example.com", email: "ann@example.com", City: "Pune", country: "United Kingdom", plan: "gold" },
  event: { amount: 15.3, sku: "85123A", product: "White lantern", description: "White lantern", quantity: 6, unit_price: 2.55, cart_id: "c-1042", invoice: "536365", country: "United Kingdom", name: "White lantern" },
};

export function ContentPreview({ c }: { c: Campaign }) {
  const [as, setAs] = useState("");
  const recent = useLoad((s) => get<{ people: { identity: string }[] | null }>(api("recent-people?limit=20"), s), [], { skip: !can("people") });
  const person = useLoad((s) => get<Person>(api("people/" + encodeURIComponent(as)), s), [as], { skip: as === "" });
  const sample = useMemo<Sample>(() => (as && person.data ? { profile: person.data.profile ?? {}, event: invented.event } : invented), [as, person.data]);
  const text = c.content.text ?? "";
  return (
    <Panel title="Preview" class="content-preview">
      {can("people") && (
        <Combo label="Preview as" placeholder="As a made-up person" value={as} onValue={setAs} known={(recent.data?.people ?? []).map((p) => ({ value: p.identity }))} />
      )}
      {as !== "" && person.error != null && <p class="field-hint">Nobody has this identity.</p>}
      {c.channel === "email" && <Mail c={c} sample={sample} />}
      {c.channel === "sms" && <Sms text={fillText(text, sample)} />}
      {c.channel === "push" && <Push c={c} sample={sample} />}
      {c.channel === "webhook" && <pre class="webhook">{fillText(text, sample) || "The body shows here."}</pre>}
      <p class="field-hint">
        {Object.values(c.content).some((t) => typeof t === "string" && hasConditions(t)) ? "Conditions and loops are shown with all their branches. " : ""}
        {c.trigger.type !== "once" && "Event fields are made up. "}
        The appliance renders the real message when it is sent.
      </p>
    </Panel>
  );
}

function Mail({ c, sample }: { c: Campaign; sample: Sample }) {
  const html = c.content.html ? fillText(c.content.html, sample) : "";
  const text = fillText(c.content.text ?? "", sample);
  return (
    <div class="mail">
      <div class="mail-head">
        <b>{fillText(c.content.subject ?? "", sample) || "No subject yet"}</b>
        <span>from {publisher.value?.title || publisher.value?.name}</span>
      </div>
      {html ? <MailSheet html={html} label="Preview of the mail" /> : text ? <pre class="mail-text">{text}</pre> : <p class="mail-empty">What you write shows here.</p>}
    </div>
  );
}

function Sms({ text }: { text: string }) {
  const s = smsParts(text.replace(/[‹›]/g, "")); // which mark what is missing
  return (
    <div class="phone">
      <p class="bubble">{text || "What you write shows here."}</p>
      {text && (
        <p class="note">
          {plural(s.characters, "character")}, {plural(s.parts, "part")} of {s.unicode ? "Unicode" : "the GSM alphabet"}
        </p>
      )}
    </div>
  );
}

function Push({ c, sample }: { c: Campaign; sample: Sample }) {
  const p = c.content.push ?? {};
  if (p.silent) return <p class="field-hint">The push is silent: nothing shows.</p>;
  return (
    <div class="phone">
      <div class="push">
        <p class="push-app">{publisher.value?.title || publisher.value?.name}</p>
        <b>{fillText(c.content.title ?? "", sample) || "No title yet"}</b>
        {p.subtitle && <p>{fillText(p.subtitle, sample)}</p>}
        <p>{fillText(c.content.text ?? "", sample)}</p>
        {p.image && <p class="push-image">{fillText(p.image, sample)}</p>}
        {(p.buttons?.length ?? 0) > 0 && (
          <p class="push-buttons">
            {p.buttons?.map((b) => (
              <span key={b.id}>{fillText(b.title, sample) || "…"}</span>
            ))}
          </p>
        )}
      </div>
    </div>
  );
}
