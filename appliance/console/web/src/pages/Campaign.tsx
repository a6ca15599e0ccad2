// One campaign: what it is, what became of its messages, and starting and
// stopping it.
import { useMemo, useState } from "preact/hooks";
import { ApiError, del, get, post } from "../api/client";
import type { Campaign, Report } from "../api/types";
import { Act, Button, LinkButton } from "../parts/Button";
import { Confirm } from "../parts/Dialog";
import { Choice, Input } from "../parts/Field";
import { bucketName, channel, num, percent, plural, title, zone } from "../parts/format";
import { JsonView } from "../parts/Json";
import { Bars, Plot, type Line } from "../parts/Plot";
import { Badge, Empty, Failure, Page, Panel, Show, Skeleton } from "../parts/Page";
import { Table } from "../parts/Table";
import { eventOf, sayDuration, sayTrigger, sent, states } from "../question/campaign";
import { say } from "../question/people";
import { presets, rangeJson, type RangeState } from "../question/shared";
import { useLoad } from "../state/load";
import { go } from "../state/router";
import { api, can, link, publisher } from "../state/session";
import { toast } from "../state/toast";
import { Select } from "../parts/Field";
import { EffectPanel } from "./CampaignEffect";
import { ContentPreview } from "./CampaignPreview";

export function CampaignPage({ id }: { id: string }) {
  const path = "campaigns/" + encodeURIComponent(id);
  const loaded = useLoad((s) => get<Campaign>(api(path), s), [id], { every: 15 });
  const [asking, setAsking] = useState("");
  const back = { href: link("campaigns"), label: "Campaigns" };
  const c = loaded.data;
  if (!c) {
    return (
      <Page title="Campaign" back={back}>
        {loaded.error instanceof ApiError && loaded.error.status === 404 ? (
          <Empty icon="campaign" title="There is no such campaign" action={<LinkButton href={link("campaigns")}>All campaigns</LinkButton>} />
        ) : loaded.error ? (
          <Failure error={loaded.error} what="This campaign" retry={loaded.reload} />
        ) : (
          <Skeleton rows={8} />
        )}
      </Page>
    );
  }
  const act = (verb: string) => async () => {
    await post(api(`${path}/${verb}`));
    loaded.reload();
  };
  return (
    <Page
      title={c.name}
      wide
      back={back}
      lead={
        <p class="campaign-lead">
          <Badge state={c.state}>{states[c.state] ?? c.state}</Badge>
          <span>{sayTrigger(c)}</span>
          <span>{channel(c.channel)}</span>
          <span>revision {c.revision ?? 1}</span>
        </p>
      }
      actions={
        can("campaigns") && (
          <>
            {c.state === "draft" && <Button icon="trash" onClick={() => setAsking("delete")}>Delete</Button>}
            {(c.state === "running" || c.state === "paused") && <Button icon="stop" onClick={() => setAsking("end")}>End</Button>}
            {c.state !== "ended" && <LinkButton icon="edit" href={link(path + "/edit")}>Change</LinkButton>}
            {c.state === "running" && <Act icon="pause" run={act("pause")} done="Paused. What waits, waits on.">Pause</Act>}
            {(c.state === "draft" || c.state === "paused") && <Act kind="primary" icon="play" run={act("start")} done={`${c.name} is running.`}>{c.state === "draft" ? "Start" : "Go on"}</Act>}
          </>
        )
      }
    >
      <div class="campaign">
        <div class="campaign-main">
          {c.progress && <Progress progress={c.progress} />}
          <ReportPanel id={id} draft={c.state === "draft"} />
          <Find />
        </div>
        <div class="campaign-side">
          <Summary c={c} />
          <ContentPreview c={c} />
          <JsonView json={sent(c)} title="This campaign as JSON" />
        </div>
      </div>
      {asking === "end" && (
        <Confirm title={`End ${c.name}`} verb="End it" close={() => setAsking("")} run={act("end")}>
          <p>It decides nothing new, and what waits to be sent is held. It cannot be started again; its report stays.</p>
        </Confirm>
      )}
      {asking === "delete" && (
        <Confirm
          title={`Delete ${c.name}`}
          verb="Delete"
          close={() => setAsking("")}
          run={async () => {
            await del(api(path));
            toast("Deleted.");
            go(link("campaigns"), true);
          }}
        >
          <p>The draft goes. Nothing was sent by it.</p>
        </Confirm>
      )}
    </Page>
  );
}

function Progress({ progress }: { progress: NonNullable<Campaign["progress"]> }) {
  const numbers = Object.entries(progress).filter(([, v]) => typeof v === "number") as [string, number][];
  if (numbers.length === 0) return null;
  return (
    <Panel title="This run" flush>
      <dl class="stats inset">
        {numbers.map(([k, v]) => (
          <div class="stat" key={k}>
            <dt>{title(k.replaceAll("_", " "))}</dt>
            <dd>{num(v)}</dd>
          </div>
        ))}
      </dl>
    </Panel>
  );
}

function ReportPanel({ id, draft }: { id: string; draft: boolean }) {
  const [range, setRange] = useState<RangeState>({ last: "30d", from: "", to: "" });
  const r = rangeJson(range);
  const q = new URLSearchParams(r as Record<string, string>).toString();
  const loaded = useLoad((s) => get<Report>(api(`campaigns/${encodeURIComponent(id)}/report${q ? "?" + q : ""}`), s), [id, q], { every: 20, skip: draft });
  if (draft) {
    return (
      <Panel title="Report" flush>
        <Empty icon="campaign" title="Nothing was sent yet">
          <p>The report begins with the first message. Start the campaign when you have looked at the preview.</p>
        </Empty>
      </Panel>
    );
  }
  return (
    <>
      <Panel
        title="Report"
        note={`days of ${zone()}`}
        flush
        actions={
          <Select aria-label="Range" value={range.last} onValue={(last) => setRange({ ...range, last })} options={presets.filter((p) => p.value !== "custom")} />
        }
      >
        <Show of={loaded} what="The report">{(d) => <Steps r={d} />}</Show>
      </Panel>
      {loaded.data && loaded.data.decided > 0 && <EffectPanel r={loaded.data} edit={link("campaigns/" + encodeURIComponent(id) + "/edit")} />}
      {loaded.data && <ByDay r={loaded.data} />}
      {loaded.data && <Reasons r={loaded.data} />}
    </>
  );
}

function Steps({ r }: { r: Report }) {
  if (r.decided === 0 && r.sent === 0) {
    return (
      <Empty icon="mailbox" title="No message in this range">
        <p>Nobody has met the trigger yet, or it was in another range.</p>
      </Empty>
    );
  }
  const rows = [
    { name: "Sent", n: r.sent, of: "", none: "" },
    { name: "Delivered", n: r.delivered, of: "of sent", none: "no receipts from the provider yet" },
    { name: "Opened", n: r.opened, of: "of sent, people", none: "" },
    { name: "Clicked", n: r.clicked, of: "of sent, people", none: "" },
  ];
  const top = Math.max(r.decided, r.sent, 1);
  const failed = sum(r.failed);
  const held = sum(heldBack(r));
  const control = sum(r.held) - held;
  return (
    <>
      <ol class="report-steps">
        <li>
          <span class="report-name">Decided</span>
          <span class="report-track" aria-hidden="true"><span class="neutral" style={{ width: `${(r.decided / top) * 100}%` }} /></span>
          <b>{num(r.decided)}</b>
          <small>{[held && `${num(held)} held`, control && `${num(control)} in the control group`, failed && `${num(failed)} failed`, r.waiting && `${num(r.waiting)} waiting`].filter(Boolean).join(", ")}</small>
        </li>
        {rows.map((x) => (
          <li key={x.name}>
            <span class="report-name">{x.name}</span>
            <span class="report-track" aria-hidden="true"><span class="c1" style={{ width: `${Math.min(1, x.n / top) * 100}%` }} /></span>
            <b>{num(x.n)}</b>
            <small>{x.none && x.n === 0 && r.sent > 0 ? x.none : x.of && r.sent ? `${percent(x.n / r.sent)} ${x.of}` : ""}</small>
          </li>
        ))}
      </ol>
      <p class="note pad">
        {r.unsubscribed ? `${plural(r.unsubscribed, "person", "people")} unsubscribed. ` : "Nobody unsubscribed. "}
        {r.bounced ? `${plural(r.bounced, "message")} bounced.` : "Nothing bounced."}
      </p>
    </>
  );
}

// heldBack are those held for a reason of their own, not for the control group.
const heldBack = (r: Report) => (r.held ?? []).filter((x) => x.reason !== "control");

const sum = (list: Report["held"]) => (list ?? []).reduce((n, x) => n + x.count, 0);

function ByDay({ r }: { r: Report }) {
  const [view, setView] = useState("plot");
  const d = r.by_day;
  const lines = useMemo<Line[]>(
    () => (d ? [{ label: "Sent", values: d.sent, colour: 1 }, { label: "Opened", values: d.opened, colour: 2 }, { label: "Clicked", values: d.clicked, colour: 3 }] : []),
    [r],
  );
  if (!d || d.buckets.length === 0) return null;
  return (
    <Panel title="By day" flush actions={<Choice label="Show as" value={view} onValue={setView} options={[{ value: "plot", label: "Plot" }, { value: "table", label: "Table" }]} />}>
      {view === "plot" ? (
        <>
          <Plot buckets={d.buckets} interval="day" lines={lines} height={220} label="Sent, opened and clicked by day. The table has the same numbers." />
          <ul class="legend still">
            {lines.map((l) => (
              <li key={l.label}>
                <i class={`dot c${l.colour}`} />
                {l.label}
              </li>
            ))}
          </ul>
        </>
      ) : (
        <Table
          label="Messages by day"
          rows={d.buckets.map((b, i) => ({ b, i })).reverse()}
          columns={[
            { head: "Day", cell: (x) => bucketName(x.b, "day") },
            { head: "Sent", number: true, cell: (x) => num(d.sent[x.i]) },
            { head: "Opened", number: true, cell: (x) => num(d.opened[x.i]) },
            { head: "Clicked", number: true, cell: (x) => num(d.clicked[x.i]) },
          ]}
        />
      )}
    </Panel>
  );
}

function Reasons({ r }: { r: Report }) {
  const held = heldBack(r);
  const failed = r.failed ?? [];
  if (held.length + failed.length === 0) return null;
  return (
    <div class="two">
      {held.length > 0 && (
        <Panel title="Held back, and why">
          <Bars label="Held by reason" colour={2} rows={held.map((x) => ({ name: title(x.reason), value: x.count }))} />
        </Panel>
      )}
      {failed.length > 0 && (
        <Panel title="Failed, and why">
          <Bars label="Failed by reason" colour={4} rows={failed.map((x) => ({ name: title(x.reason), value: x.count }))} />
        </Panel>
      )}
    </div>
  );
}

// Find leads from a message's id, as it stands in a mail's header, to its decision.
function Find() {
  const [id, setId] = useState("");
  return (
    <Panel title="Why did somebody get this, or not?">
      <form
        class="find small"
        onSubmit={(e) => {
          e.preventDefault();
          if (id.trim()) go(link("messages/" + encodeURIComponent(id.trim())));
        }}
      >
        <Input aria-label="Message id" placeholder="Message id, 32 hexadecimal digits" class="mono" value={id} onValue={setId} />
        <Button type="submit" disabled={!id.trim()}>
          Explain
        </Button>
      </form>
      <p class="field-hint">Every message keeps what decided it. A person's page lists all of theirs.</p>
    </Panel>
  );
}

function Summary({ c }: { c: Campaign }) {
  const purpose = publisher.value?.purposes.find((p) => p.name === c.purpose);
  const rows: [string, string][] = [
    ["Goes out", sayTrigger(c)],
    ...(c.trigger.type === "once" ? ([["To", say(c.trigger.audience)]] as [string, string][]) : []),
    ["Purpose", purpose?.title || c.purpose],
    ["Class", title(c.class)],
    ...(c.people ? ([["Also", say(c.people)]] as [string, string][]) : []),
    ["Limit", c.limit ? `${plural(c.limit.per_person, "message")} to one person${c.limit.every ? `, every ${sayDuration(c.limit.every)}` : ", ever"}` : "Only those of the publisher"],
    ...(c.control ? ([["Control group", `${c.control} of 100 get nothing, to compare with`]] as [string, string][]) : []),
    ...(c.goal ? ([["Goal", `${eventOf(c.goal.event)} within ${sayDuration(c.goal.within ?? "7d")}`]] as [string, string][]) : []),
    ["Worth sending for", sayDuration(c.expires_after ?? "24h")],
  ];
  return (
    <Panel title="What it is">
      <dl class="pairs">
        {rows.map(([k, v]) => (
          <div key={k}>
            <dt>{k}</dt>
            <dd>{v}</dd>
          </div>
        ))}
      </dl>
    </Panel>
  );
}
