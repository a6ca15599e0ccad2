// All campaigns of a publisher.
import { useMemo, useState } from "preact/hooks";
import { get, post } from "../api/client";
import type { Campaign, TrendResult } from "../api/types";
import { Act, LinkButton } from "../parts/Button";
import { Choice } from "../parts/Field";
import { channel, num } from "../parts/format";
import { Badge, Empty, Page, Panel, Show } from "../parts/Page";
import { Table } from "../parts/Table";
import { sayTrigger, states } from "../question/campaign";
import { rangeJson } from "../question/shared";
import { useQuestion } from "../question/useQuestion";
import { useLoad } from "../state/load";
import { api, can, link, publisher } from "../state/session";

const order = ["running", "paused", "draft", "ended"];

export function Campaigns() {
  const loaded = useLoad((s) => get<{ campaigns: Campaign[] | null }>(api("campaigns"), s), [], { every: 20 });
  const [show, setShow] = useState("open");
  const all = loaded.data?.campaigns ?? [];
  const ended = all.filter((c) => c.state === "ended").length;
  const sent = useSent();
  const make = can("campaigns") && (
    <LinkButton kind="primary" icon="plus" href={link("campaigns/new")}>
      New campaign
    </LinkButton>
  );
  const purpose = (name: string) => publisher.value?.purposes.find((p) => p.name === name)?.title || name;
  const rows = all.filter((c) => (show === "open" ? c.state !== "ended" : c.state === "ended")).sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || a.name.localeCompare(b.name));
  return (
    <Page title="Campaigns" lead={<p>What is sent, to whom, and what makes it go out. Consent, limits and quiet hours are asked again for every single message.</p>} actions={make}>
      <Show of={loaded} what="The campaigns">
        {() =>
          all.length === 0 ? (
            <Empty icon="campaign" title="No campaigns yet" action={make}>
              <p>A good first one: when somebody puts a thing in the cart and does not buy it within an hour, remind them once.</p>
            </Empty>
          ) : (
            <Panel
              flush
              title={show === "open" ? "In work" : "Ended"}
              actions={
                ended > 0 && (
                  <Choice label="Show" value={show} onValue={setShow} options={[{ value: "open", label: `In work (${all.length - ended})` }, { value: "ended", label: `Ended (${ended})` }]} />
                )
              }
            >
              {rows.length === 0 ? (
                <Empty icon="campaign" title="All campaigns have ended" action={make} />
              ) : (
                <Table
                  label="Campaigns"
                  rows={rows}
                  rowKey={(c) => c.id}
                  href={(c) => link("campaigns/" + encodeURIComponent(c.id))}
                  columns={[
                    { head: "Name", cell: (c) => <b>{c.name}</b> },
                    { head: "State", cell: (c) => <Badge state={c.state}>{states[c.state] ?? c.state}</Badge> },
                    { head: "Goes out", cell: (c) => sayTrigger(c), hide: true },
                    { head: "Channel", cell: (c) => channel(c.channel) },
                    ...(can("ask") ? [{ head: "Sent, 30 days", number: true, cell: (c: Campaign) => (sent ? num(sent.get(c.id) ?? 0) : "…") }] : []),
                    { head: "Purpose", cell: (c) => purpose(c.purpose), hide: true },
                    { head: "", cell: (c) => can("campaigns") && <Quick c={c} reload={loaded.reload} /> },
                  ]}
                />
              )}
            </Panel>
          )
        }
      </Show>
    </Page>
  );
}

// useSent gives the messages sent by each campaign, or null for roles that may
// not ask, and until there is an answer.
function useSent(): Map<string, number> | null {
  const question = useMemo(
    () => ({ kind: "trend", series: [{ name: "A", event: "Notification Sent", measure: "count" }], interval: "all", ...rangeJson({ last: "30d", from: "", to: "" }), breakdown: [{ property: "campaign", limit: 10_000 }] }),
    [],
  );
  const asked = useQuestion<TrendResult>(question, can("ask"));
  const series = asked.answer?.result.series;
  return useMemo(() => series && new Map(series.map((s) => [String(s.breakdown?.[0]), s.total])), [series]) ?? null;
}

function Quick({ c, reload }: { c: Campaign; reload: () => void }) {
  const act = (verb: string) => async () => {
    await post(api(`campaigns/${encodeURIComponent(c.id)}/${verb}`));
    reload();
  };
  if (c.state === "running") return <Act small icon="pause" run={act("pause")} done={`${c.name} is paused.`}>Pause</Act>;
  if (c.state === "paused") return <Act small icon="play" run={act("start")} done={`${c.name} is running.`}>Go on</Act>;
  return null;
}
