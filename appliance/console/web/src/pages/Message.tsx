// Why one message went out, or did not.
import type * as preact from "preact";
import { ApiError, get } from "../api/client";
import type { CapCount, Decision } from "../api/types";
import { Copy } from "../parts/Button";
import { channel, dateTimeSeconds, plural, title, zone } from "../parts/format";
import { JsonView } from "../parts/Json";
import { Badge, Empty, Failure, Page, Panel, Skeleton } from "../parts/Page";
import { Table } from "../parts/Table";
import { Icon } from "../parts/Icon";
import { sayDuration } from "../question/campaign";
import { useLoad } from "../state/load";
import { api, link, publisher } from "../state/session";

// What each reason means, in the operator's words.
const meanings: { [reason: string]: string } = {
  erased: "The person was erased.",
  "campaign gone": "The campaign does not exist any more.",
  "unknown purpose": "The campaign's purpose is not configured for this publisher.",
  "no consent": "There is no consent for this purpose on this channel. Without a record the answer is no.",
  "not reachable": "No address is known on this channel.",
  suppressed: "The address is on the suppression list: it bounced, complained or unsubscribed.",
  cap: "The person had as many messages of this purpose as the publisher allows.",
  "campaign limit": "The person had as many of this campaign as it allows.",
  "quiet hours": "Quiet hours would have ended after the message had lost its worth.",
  expired: "It would have come too late.",
  "no longer qualified": "At the moment of sending the person did not fit any more.",
  control: "The person belongs to the campaign's control group: they would have got it, and get nothing, so that the others can be compared with them.",
  duplicate: "The same cause had already made a message for this person.",
  "aborted by template": "The template decided against it.",
  "template error": "The template failed for this person.",
};

export function MessagePage({ id }: { id: string }) {
  const loaded = useLoad((s) => get<Decision>(api("messages/" + encodeURIComponent(id)), s), [id]);
  const back = { href: link("campaigns"), label: "Campaigns" };
  const d = loaded.data;
  if (!d) {
    return (
      <Page title="Message" back={back}>
        {loaded.error instanceof ApiError && loaded.error.status === 404 ? (
          <Empty icon="mailbox" title="There is no message with this id">
            <p>
              An id has 32 hexadecimal digits. This one was <code>{id}</code>.
            </p>
          </Empty>
        ) : loaded.error ? (
          <Failure error={loaded.error} what="This message" retry={loaded.reload} />
        ) : (
          <Skeleton rows={6} />
        )}
      </Page>
    );
  }
  return (
    <Page
      title={headline(d)}
      back={{ href: link("campaigns/" + encodeURIComponent(d.campaign)), label: d.campaign }}
      lead={<p>{d.reason ? (meanings[d.reason] ?? title(d.reason) + ".") : outcome(d)} Times are in {zone()}.</p>}
      actions={<Copy text={d.message} label="Copy id" />}
    >
      <div class="decision">
        <Panel title="What was asked, in this order">
          <Checks d={d} />
        </Panel>
        <Panel title="The message">
          <dl class="pairs">
            <Pair k="State" v={<Badge state={d.state} />} />
            <Pair k="Id" v={<code class="clip">{d.message}</code>} />
            <Pair k="Campaign" v={<a href={link("campaigns/" + encodeURIComponent(d.campaign))}>{d.campaign}</a>} />
            <Pair k="Revision" v={d.revision} />
            {d.variant && <Pair k="Variant" v={d.variant} />}
            <Pair k="Person" v={d.person} />
            <Pair k="Cause" v={<code class="clip" title={d.cause}>{d.cause}</code>} />
            <Pair k="Channel" v={channel(d.channel)} />
            <Pair k="Class" v={title(d.class)} />
            <Pair k="Decided" v={dateTimeSeconds(d.decided)} />
            <Pair k="Due" v={dateTimeSeconds(d.due)} />
            <Pair k="Worth sending until" v={dateTimeSeconds(d.expires)} />
            {d.settled && <Pair k="Settled" v={dateTimeSeconds(d.settled)} />}
            {d.copies && <Pair k="Also on" v={plural(d.copies, "further device", "further devices")} />}
            {d.copy_of && <Pair k="Copy of" v={<a class="clip" href={link("messages/" + d.copy_of)}><code>{d.copy_of}</code></a>} />}
            {d.provider_id && <Pair k="Provider's id" v={<code class="clip">{d.provider_id}</code>} />}
            <Pair k="Opens and clicks" v={d.tracked ? "followed" : "not followed"} />
          </dl>
        </Panel>
      </div>
      {d.attempts && d.attempts.length > 0 && (
        <Panel title="Hand-offs" note={d.tries ? plural(d.tries, "try", "tries") : undefined} flush>
          <Table
            label="Attempts to hand the message over"
            rows={d.attempts}
            columns={[
              { head: "At", cell: (a) => dateTimeSeconds(a.at) },
              { head: "Connector", cell: (a) => a.connector || "–" },
              { head: "Answer", cell: (a) => <Badge state={a.outcome || "unknown"}>{a.outcome || "none yet"}</Badge> },
              { head: "Reason", cell: (a) => [a.class, a.reason].filter(Boolean).join(": ") || "–" },
              { head: "Took", number: true, cell: (a) => a.took || "–" },
            ]}
          />
        </Panel>
      )}
      <JsonView json={d} title="This decision as JSON" />
    </Page>
  );
}

function Pair({ k, v }: { k: string; v: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{k}</dt>
      <dd>{v}</dd>
    </div>
  );
}

function headline(d: Decision): string {
  switch (d.state) {
    case "sent":
      return "Sent";
    case "held":
      return `Held: ${d.reason ?? "no reason kept"}`;
    case "failed":
      return `Failed: ${d.reason ?? "no reason kept"}`;
    case "waiting":
      return "Waiting to be sent";
    case "attempting":
      return "Being handed over";
    case "unknown":
      return "Handed over, no answer";
  }
  return title(d.state);
}

function outcome(d: Decision): string {
  switch (d.state) {
    case "sent":
      return "The provider accepted it.";
    case "waiting":
      return d.quiet_until ? `It waits for the end of quiet hours, ${dateTimeSeconds(d.quiet_until)}.` : "It is in the outbox.";
    case "unknown":
      return "The answer was lost. A marketing message is not sent again, so that nobody gets it twice.";
  }
  return "";
}

type Verdict = "yes" | "no" | "open";
const order = ["erased", "campaign gone", "expired", "no longer qualified", "unknown purpose", "no consent", "not reachable", "suppressed", "quiet hours", "duplicate", "cap", "campaign limit", "aborted by template", "template error", "control"];

function Checks({ d }: { d: Decision }) {
  const stopped = d.reason ? order.indexOf(d.reason) : -1;
  const passed = (reasons: string[]): Verdict => {
    if (d.reason && reasons.includes(d.reason)) return "no";
    if (d.state === "waiting" && !d.tries) return "open";
    const mine = Math.min(...reasons.map((r) => order.indexOf(r)));
    return d.state === "held" && stopped >= 0 && mine > stopped ? "open" : "yes";
  };
  const consent = d.consent;
  const purpose = publisher.value?.purposes.find((p) => p.name === d.purpose)?.title || d.purpose;
  const rows: { name: string; verdict: Verdict; note: string }[] = [
    { name: "Still in time", verdict: passed(["expired"]), note: `until ${dateTimeSeconds(d.expires)}` },
    { name: "Still wanted", verdict: passed(["campaign gone", "no longer qualified", "erased"]), note: d.reason === "no longer qualified" ? (d.detail ?? "") : "the campaign and its condition" },
    {
      name: "Consent",
      verdict: passed(["no consent", "unknown purpose"]),
      note: d.basis === "contract" ? `${purpose}: belongs to a contract, none is needed` : consent ? `${purpose}: ${consent.granted ? "given" : consent.since ? "withdrawn" : "never given"}${consent.since ? " " + dateTimeSeconds(new Date(consent.since / 1000).toISOString()) : ""}${consent.source ? ", from " + consent.source : ""}${consent.version ? ", version " + consent.version : ""}` : purpose,
    },
    { name: "An address", verdict: passed(["not reachable"]), note: channel(d.channel) },
    { name: "Not suppressed", verdict: passed(["suppressed"]), note: d.suppressed ? "the address is on the list" : "" },
    { name: "Outside quiet hours", verdict: passed(["quiet hours"]), note: d.class === "transactional" ? "do not hold for transactional messages" : d.quiet_until ? `waited until ${dateTimeSeconds(d.quiet_until)}` : "" },
    { name: "Within the publisher's cap", verdict: passed(["cap"]), note: counted(d.cap) },
    { name: "Within the campaign's limit", verdict: passed(["campaign limit"]), note: counted(d.limit) },
    { name: "Rendered", verdict: passed(["aborted by template", "template error"]), note: ["aborted by template", "template error"].includes(d.reason ?? "") ? (d.detail ?? "") : "" },
    { name: "Outside the control group", verdict: passed(["control"]), note: d.reason === "control" ? (d.detail ?? "") : "" },
  ];
  return (
    <ol class="checks">
      {rows.map((r) => (
        <li key={r.name} class={r.verdict}>
          <span class="check-mark" aria-hidden="true">
            {r.verdict === "yes" ? <Icon name="check" size={14} /> : r.verdict === "no" ? <Icon name="close" size={14} /> : null}
          </span>
          <span class="check-text">
            <b>{r.name}</b>
            <span class="hidden">{r.verdict === "yes" ? "yes" : r.verdict === "no" ? "no" : "not asked"}</span>
            {r.note && r.verdict !== "open" && <small>{r.note}</small>}
          </span>
        </li>
      ))}
    </ol>
  );
}

function counted(c: CapCount | undefined): string {
  return c ? `${c.messages} of ${c.allowed} before this one${c.per ? `, in ${sayDuration(c.per)}` : ""}` : "none set";
}
