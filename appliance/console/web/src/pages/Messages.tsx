// Messages that failed, or of which nobody knows whether they arrived, and the
// way to send them again. Each look at them is in the audit, so they are asked
// for once, not every few seconds.
import { useRef, useState } from "preact/hooks";
import { get, post } from "../api/client";
import type { Campaign, ConnectorStatus, Decision } from "../api/types";
import { Act, Button } from "../parts/Button";
import { Confirm } from "../parts/Dialog";
import { Choice, Select } from "../parts/Field";
import { ago, channel, dateTime, num, plural, sentence } from "../parts/format";
import { Empty, Page, Panel, Show } from "../parts/Page";
import { Table } from "../parts/Table";
import { useLoad } from "../state/load";
import { api, can, link } from "../state/session";
import { toast } from "../state/toast";

type State = "failed" | "unknown";
interface Listed {
  messages: Decision[];
  next: string;
}
// Which are listed: "" = of every campaign, of every connector.
interface Which {
  state: State;
  campaign: string;
  connector: string;
}
interface Replayed {
  messages: { message: string; as?: string; error?: { message: string } }[];
}

// atOnce is how many messages the appliance sends again in one request.
const atOnce = 100;

const ask = (which: Which, cursor: string, s?: AbortSignal) =>
  get<Listed>(api(`messages?${new URLSearchParams({ state: which.state, limit: String(atOnce), ...(which.campaign && { campaign: which.campaign }), ...(which.connector && { connector: which.connector }), ...(cursor && { cursor }) })}`), s);

export function Messages() {
  const [which, setWhich] = useState<Which>({ state: "failed", campaign: "", connector: "" });
  const campaigns = useLoad((s) => get<{ campaigns: Campaign[] | null }>(api("campaigns"), s), []);
  const connectors = useLoad((s) => get<{ connectors: ConnectorStatus[] | null }>(api("connectors"), s), []);
  return (
    <Page
      title="Messages that did not go out"
      back={{ href: link("connectors"), label: "Connectors" }}
      lead={<p>{which.state === "failed" ? "They failed for good." : "They were handed to a connector that never answered: perhaps they arrived, perhaps not."} The last one first.</p>}
    >
      <div class="which">
        <Choice label="Show" value={which.state} onValue={(v) => setWhich({ ...which, state: v as State })} options={[{ value: "failed", label: "Failed" }, { value: "unknown", label: "Unknown" }]} />
        <Select aria-label="Campaign" value={which.campaign} onValue={(campaign) => setWhich({ ...which, campaign })} options={[{ value: "", label: "Every campaign" }, ...(campaigns.data?.campaigns ?? []).map((c) => ({ value: c.id, label: c.name }))]} />
        <Select aria-label="Connector" value={which.connector} onValue={(connector) => setWhich({ ...which, connector })} options={[{ value: "", label: "Every connector" }, ...(connectors.data?.connectors ?? []).map((c) => ({ value: c.name, label: c.name }))]} />
      </div>
      {can("people") ? <List key={JSON.stringify(which)} which={which} /> : <Empty icon="mailbox" title="Your role does not see messages" />}
    </Page>
  );
}

function List({ which }: { which: Which }) {
  const { state } = which;
  const loaded = useLoad((s) => ask(which, "", s), []);
  const [more, setMore] = useState<Listed | null>(null);
  const [replayed, setReplayed] = useState<{ [id: string]: string }>({});
  const [asking, setAsking] = useState<Decision | null>(null);
  const [all, setAll] = useState(false);
  const replay = async (d: Decision) => {
    const answer = await post<Replayed>(api("messages/replay"), { messages: [d.message], perhaps_twice: state === "unknown" });
    const one = answer.messages[0];
    if (one?.as) {
      setReplayed((all) => ({ ...all, [d.message]: one.as! }));
      toast("It is sent again, as a new message.");
    } else {
      toast(sentence(one?.error?.message ?? "It was not sent again"), true);
    }
  };
  return (
    <Show of={loaded} what="The messages">
      {(d) => {
        const rows = [...d.messages, ...(more?.messages ?? [])];
        const next = more ? more.next : d.next;
        const as = (m: Decision) => replayed[m.message] ?? m.replayed_as;
        return (
          <>
            {rows.length === 0 && !next ? (
              <Empty icon="check" title={state === "failed" ? "No message failed" : "It is known of each message what became of it"} />
            ) : (
              <Panel
                title={state === "failed" ? "Failed" : "Unknown"}
                actions={can("check") && rows.some((m) => !as(m)) && <Button small onClick={() => setAll(true)}>Send all again</Button>}
                flush
              >
                <Table
                  label="Messages"
                  rows={rows}
                  more={rows.length}
                  rowKey={(m) => m.message}
                  columns={[
                    { head: "When", cell: (m) => <a href={link("messages/" + m.message)} title={dateTime(m.settled)}>{ago(m.settled)}</a> },
                    { head: "Campaign", cell: (m) => m.campaign },
                    { head: "Channel", cell: (m) => channel(m.channel), hide: true },
                    { head: "Why", cell: (m) => sentence(m.detail || m.reason || "not known") },
                    {
                      head: "",
                      cell: (m) =>
                        as(m) ? <a href={link("messages/" + as(m))}>sent again</a> : can("check") ? <Button small onClick={() => setAsking(m)}>Send again</Button> : null,
                    },
                  ]}
                />
                {next && (
                  <div class="table-more">
                    <Act small run={async () => setMore(await ask(which, next).then((p) => ({ messages: [...(more?.messages ?? []), ...p.messages], next: p.next })))}>Show more</Act>
                  </div>
                )}
              </Panel>
            )}
            {all && <Again which={which} more={next !== ""} listed={rows.filter((m) => !as(m)).length} close={() => setAll(false)} sent={(more) => setReplayed((known) => ({ ...known, ...more }))} />}
            {asking && (
              <Confirm title="Send the message again" verb={state === "unknown" ? "Send, perhaps twice" : "Send again"} danger={state === "unknown"} close={() => setAsking(null)} run={() => replay(asking)}>
                <p>
                  {state === "unknown" && "It was perhaps sent: its recipient may get it twice. "}
                  It becomes a new message, and passes consent, caps and quiet hours as any does.
                </p>
              </Confirm>
            )}
          </>
        );
      }}
    </Show>
  );
}

// Again sends all that are listed again, a request after the other, until the end
// of the list or of the dialog. What was sent again before stays as it is, so it
// can be ended and begun anew.
function Again({ which, listed, more, sent, close }: { which: Which; listed: number; more: boolean; sent: (as: { [id: string]: string }) => void; close: () => void }) {
  const [done, setDone] = useState(0);
  const ended = useRef(false);
  const end = () => {
    ended.current = true;
    close();
  };
  const run = async () => {
    let went = 0;
    let why = "";
    let not = 0;
    for (let cursor = "", first = true; (first || cursor) && !ended.current; first = false) {
      const page = await ask(which, cursor);
      const ids = page.messages.filter((m) => !m.replayed_as).map((m) => m.message);
      cursor = page.next;
      if (ids.length === 0) continue;
      const answer = await post<Replayed>(api("messages/replay"), { messages: ids, perhaps_twice: which.state === "unknown" });
      const as: { [id: string]: string } = {};
      for (const m of answer.messages) {
        if (m.as) as[m.message] = m.as;
        else why ||= m.error?.message ?? "";
      }
      went += Object.keys(as).length;
      not += answer.messages.length - Object.keys(as).length;
      setDone(went);
      sent(as);
    }
    toast(`${plural(went, "message")} ${went === 1 ? "is" : "are"} sent again` + (not ? `; ${num(not)} not: ${sentence(why || "they cannot be")}` : "."), not > 0);
  };
  const unknown = which.state === "unknown";
  return (
    <Confirm title="Send all of them again" verb={unknown ? "Send all, perhaps twice" : "Send all again"} danger={unknown} close={end} run={run}>
      <p>
        {more ? `All that ${unknown ? "are unknown" : "failed"}, ${num(listed)} on this page and those after it` : plural(listed, "message")}
        {which.campaign && `, of this campaign`}
        {which.connector && `, that ${which.connector} had last`}. {unknown && "Each was perhaps sent: who got it may get it twice. "}
        Each becomes a new message, and passes consent, caps and quiet hours as any does.
      </p>
      {done > 0 && <p aria-live="polite">{plural(done, "message")} so far. Closing this ends it.</p>}
    </Confirm>
  );
}
