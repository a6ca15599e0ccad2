// Addresses to which nothing is sent, whoever has them. Each look at them is in
// the audit, so they are asked for by a click, not with the page.
import { useState } from "preact/hooks";
import { explain, get, post } from "../api/client";
import { Act, Button } from "../parts/Button";
import { Field, FieldError, Mistakes, mistakesOf, Select, TextArea } from "../parts/Field";
import { ago, dateTime, num, plural } from "../parts/format";
import { Empty, Panel, Show } from "../parts/Page";
import { Table } from "../parts/Table";
import { useLoad } from "../state/load";
import { me } from "../state/session";
import { toast } from "../state/toast";

interface Suppressed {
  reason: string;
  since: string | null;
  identity: string;
  channel: string;
  address: string;
}

const reasons: [string, string][] = [
  ["bounce", "Bounced for good"],
  ["complaint", "Called a message spam"],
  ["soft", "Came back too often"],
  ["operator", "Put there by an operator"],
  ["erased", "Erased, and has not agreed anew"],
];
const channels = [
  { value: "email", label: "E-mail" },
  { value: "sms", label: "SMS" },
  { value: "push", label: "Push" },
];

export function suppressors() {
  return (me.value?.publishers ?? []).filter((p) => p.role === "admin");
}

export function Suppression() {
  const publishers = suppressors();
  const [name, setName] = useState(publishers[0]?.name ?? "");
  if (!publishers.some((p) => p.name === name)) return <Empty icon="settings" title="There is no publisher whose list your role may change" />;
  return (
    <>
      {publishers.length > 1 && (
        <div class="narrow suppression-form">
          <Field label="Publisher">{(a) => <Select {...a} value={name} onValue={setName} options={publishers.map((p) => ({ value: p.name, label: p.title || p.name }))} />}</Field>
        </div>
      )}
      <List key={name} base={"/v1/publishers/" + encodeURIComponent(name) + "/suppression"} />
    </>
  );
}

function List({ base }: { base: string }) {
  const loaded = useLoad((s) => get<{ counts: { [reason: string]: number } }>(base, s), [base]);
  const [listed, setListed] = useState<{ reason: string; rows: Suppressed[]; next: string } | null>(null);
  const more = async (reason: string, rows: Suppressed[], cursor: string) => {
    const q = new URLSearchParams({ reason, limit: "100", ...(cursor && { cursor }) });
    const page = await get<{ addresses: Suppressed[]; next: string }>(`${base}/addresses?${q}`);
    setListed({ reason, rows: [...rows, ...page.addresses], next: page.next });
  };
  const changed = () => {
    loaded.reload();
    setListed(null);
  };
  return (
    <>
      <Panel title="Suppression list" note="nothing is sent to these addresses, whoever has them" flush>
        <Show of={loaded} what="The suppression list" rows={5}>
          {(d) => (
            <Table
              label="Suppressed addresses, by reason"
              rows={reasons}
              rowKey={([r]) => r}
              columns={[
                { head: "Why", cell: ([, label]) => label },
                { head: "Addresses", number: true, cell: ([r]) => num(d.counts[r] ?? 0) },
                { head: "", cell: ([r, label]) => (d.counts[r] ? <Act small aria-label={`List: ${label}`} run={() => more(r, [], "")}>List</Act> : null) },
              ]}
            />
          )}
        </Show>
      </Panel>
      {listed && (
        <Panel title={reasons.find(([r]) => r === listed.reason)![1]} note="only keyed hashes are kept: an address shows while somebody has it" flush>
          <Table
            label="Addresses"
            rows={listed.rows}
            more={listed.rows.length}
            columns={[
              { head: "Address", cell: (r) => r.address || <i>nobody has it</i> },
              { head: "Channel", cell: (r) => channels.find((c) => c.value === r.channel)?.label ?? "–" },
              { head: "Person", cell: (r) => r.identity || "–" },
              { head: "Since", cell: (r) => (r.since ? <span title={dateTime(r.since)}>{ago(r.since)}</span> : "–") },
            ]}
          />
          {listed.next && (
            <div class="table-more">
              <Act small run={() => more(listed.reason, listed.rows, listed.next)}>Show more</Act>
            </div>
          )}
        </Panel>
      )}
      <Change base={base} changed={changed} />
    </>
  );
}

function Change({ base, changed }: { base: string; changed: () => void }) {
  const [channel, setChannel] = useState("email");
  const [text, setText] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [found, setFound] = useState("");
  const addresses = text.split("\n").map((l) => l.trim()).filter(Boolean);
  const run = async (f: () => Promise<void>) => {
    setError(null);
    setFound("");
    try {
      await f();
    } catch (e) {
      setError(e);
    }
  };
  const find = () =>
    run(async () => {
      const one = await post<{ suppressed: boolean; reason: string; since: string | null }>(base + "/find", { channel, address: addresses[0] });
      const why = reasons.find(([r]) => r === one.reason)?.[1] ?? one.reason;
      setFound(one.suppressed ? `It is on the list: ${why.toLowerCase()}${one.since ? ", " + ago(one.since) : ""}.` : "It is not on the list.");
    });
  const change = (verb: "add" | "remove") =>
    run(async () => {
      const done = await post<{ addresses: number; kept: number }>(`${base}/${verb}`, { channel, addresses });
      if (verb === "add") toast(`${plural(done.addresses, "address", "addresses")} on the list.`);
      else toast(`${plural(done.addresses - done.kept, "address", "addresses")} off the list.${done.kept ? ` ${num(done.kept)} stay: nobody has them, or who had them was erased.` : ""}`);
      setText("");
      changed();
    });
  const mistakes = mistakesOf(error);
  return (
    <Panel title="Look one up, add or remove" note="each is written down in the audit, without the address">
      <Mistakes.Provider value={mistakes}>
        <div class="narrow suppression-form">
          <Field label="Channel" path="channel">{(a) => <Select {...a} value={channel} onValue={setChannel} options={channels} />}</Field>
          <Field label="Addresses" path="addresses" deep hint={channel === "sms" ? "One a line, with their country: +919812345678." : "One a line."}>
            {(a) => <TextArea {...a} value={text} onValue={setText} rows={4} />}
          </Field>
          {error != null && <FieldError>{explain(error)}</FieldError>}
          {found && <p role="status">{found}</p>}
          <div class="actions">
            <Button disabled={addresses.length !== 1} onClick={find}>Look it up</Button>
            <Button kind="primary" disabled={addresses.length === 0} onClick={() => change("add")}>Add</Button>
            <Button disabled={addresses.length === 0} onClick={() => change("remove")}>Remove</Button>
          </div>
          <p class="note">
            Files are brought in by <code>cloister suppression import</code>.
          </p>
        </div>
      </Mistakes.Provider>
    </Panel>
  );
}
