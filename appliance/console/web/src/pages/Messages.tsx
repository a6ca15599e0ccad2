// Messages that failed, or of which nobody knows whether they arrived, and the
// way to send them again. Each look at them is in the audit, so they are asked
// for once, not every few seconds.
import { useState } from "preact/hooks";
import { get, post } from "../api/client";
import type { Decision } from "../api/types";
import { Act, Button } from "../parts/Button";
import { Confirm } from "../parts/Dialog";
import { Choice } from "../parts/Field";
import { ago, channel, dateTime, sentence } from "../parts/format";
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

export function Messages() {
  const [state, setState] = useState<State>("failed");
  return (
    <Page
      title="Messages that did not go out"
      back={{ href: link("connectors"), label: "Connectors" }}
      lead={<p>{state === "failed" ? "They failed for good." : "They were handed to a connector that never answered: perhaps they arrived, perhaps not."} The last one first.</p>}
    >
      <Choice label="Show" value={state} onValue={(v) => setState(v as State)} options={[{ value: "failed", label: "Failed" }, { value: "unknown", label: "Unknown" }]} />
      {can("people") ? <List key={state} state={state} /> : <Empty icon="mailbox" title="Your role does not see messages" />}
    </Page>
  );
}

function List({ state }: { state: State }) {
  const ask = (cursor: string, s?: AbortSignal) => get<Listed>(api(`messages?${new URLSearchParams({ state, limit: "100", ...(cursor && { cursor }) })}`), s);
  const loaded = useLoad((s) => ask("", s), [state]);
  const [more, setMore] = useState<Listed | null>(null);
  const [replayed, setReplayed] = useState<{ [id: string]: string }>({});
  const [asking, setAsking] = useState<Decision | null>(null);
  const replay = async (d: Decision) => {
    const answer = await post<{ messages: { as?: string; error?: { message: string } }[] }>(api("messages/replay"), { messages: [d.message], perhaps_twice: state === "unknown" });
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
              <Panel title={state === "failed" ? "Failed" : "Unknown"} flush>
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
                    <Act small run={async () => setMore(await ask(next).then((p) => ({ messages: [...(more?.messages ?? []), ...p.messages], next: p.next })))}>Show more</Act>
                  </div>
                )}
              </Panel>
            )}
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
