// Who may work here, what was done, and how things are configured.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { get, post } from "../api/client";
import type { AuditEntry, Publisher, Session } from "../api/types";
import { del, at } from "../api/client";
import { Act, Button } from "../parts/Button";
import { Field, FieldError, Input, Mistakes, mistakesOf, Select } from "../parts/Field";
import { ago, channel, dateTime, dateTimeSeconds, num, plural, title, zone } from "../parts/format";
import { Badge, Empty, Notice, Page, Panel, Show, Skeleton } from "../parts/Page";
import { Table, csv, download } from "../parts/Table";
import { ThemeSwitch } from "../parts/Shell";
import { explain } from "../api/client";
import { useLoad } from "../state/load";
import { can, me, start } from "../state/session";
import { toast } from "../state/toast";
import { Export, exporters } from "./Export";
import { Operators } from "./Operators";
import { Suppression, suppressors } from "./Suppression";
import { Tokens } from "./Tokens";

interface Tab {
  name: string;
  label: string;
  show: () => boolean;
  draw: () => ComponentChildren;
}

const tabs: Tab[] = [
  { name: "account", label: "Your account", show: () => true, draw: () => <Account /> },
  { name: "publisher", label: "Publishers", show: () => true, draw: () => <Publishers /> },
  { name: "export", label: "Export", show: () => exporters().length > 0, draw: () => <Export /> },
  { name: "suppression", label: "Suppression", show: () => suppressors().length > 0, draw: () => <Suppression /> },
  { name: "operators", label: "Operators", show: () => can("operators"), draw: () => <Operators /> },
  { name: "tokens", label: "Tokens", show: () => can("tokens"), draw: () => <Tokens /> },
  { name: "audit", label: "Audit", show: () => can("audit"), draw: () => <Audit /> },
];

export function Settings({ tab }: { tab: string }) {
  const now = tabs.find((t) => t.name === tab) ?? tabs[0]!;
  return (
    <Page title="Settings" tab={now.label + ", settings"} wide={now.name === "audit"}>
      <nav class="subnav" aria-label="Settings">
        {tabs
          .filter((t) => t.show())
          .map((t) => (
            <a key={t.name} href={"/settings/" + t.name} class={t === now ? "on" : undefined} aria-current={t === now ? "page" : undefined}>
              {t.label}
            </a>
          ))}
      </nav>
      {now.show() ? now.draw() : <Notice title="Your role does not show this.">An admin of the appliance can see it.</Notice>}
    </Page>
  );
}

function Account() {
  const m = me.value!;
  return (
    <>
      <Panel title="You">
        <dl class="pairs">
          <div>
            <dt>Name</dt>
            <dd>{m.operator.name}</dd>
          </div>
          {Object.entries(m.operator.roles ?? {}).map(([p, r]) => (
            <div key={p}>
              <dt>{p === "*" ? "Every publisher" : p}</dt>
              <dd>{title(r)}</dd>
            </div>
          ))}
          <div>
            <dt>Theme</dt>
            <dd>
              <ThemeSwitch />
            </dd>
          </div>
        </dl>
      </Panel>
      <Password />
      <Sessions />
      <p class="note">
        Cloister {m.appliance.version} on {m.appliance.name}. <a href="/licences.txt" target="_blank" rel="noopener">Licences of what the console contains</a>
      </p>
    </>
  );
}

function Password() {
  const m = me.value!;
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [error, setError] = useState<unknown>(null);
  const has = m.operator.password;
  const save = async (e: Event) => {
    e.preventDefault();
    setError(null);
    try {
      await post(at`/v1/operators/${m.operator.name}/password`, { password: next, ...(current && { current }) });
      toast("Your password is changed. Your other sessions have ended.");
      setCurrent("");
      setNext("");
      void start();
    } catch (err) {
      setError(err);
    }
  };
  const mistakes = mistakesOf(error);
  return (
    <Panel title={has ? "Password" : "Set a password"}>
      {!has && <p class="note">You came in by a one-time link. With a password you can come again.</p>}
      <Mistakes.Provider value={mistakes}>
        <form class="narrow" onSubmit={save}>
          <input type="text" name="username" autocomplete="username" value={m.operator.name} hidden readOnly />
          {has && (
            <Field label="The one you have" path="current">
              {(a) => <Input {...a} type="password" autocomplete="current-password" value={current} onValue={setCurrent} />}
            </Field>
          )}
          <Field label="The new one" path="password" hint="At least 12 characters.">
            {(a) => <Input {...a} type="password" autocomplete="new-password" minlength={12} value={next} onValue={setNext} required />}
          </Field>
          {error != null && mistakes.length === 0 && <FieldError>{explain(error)}</FieldError>}
          <Button type="submit" disabled={next.length < 12}>
            {has ? "Change it" : "Set it"}
          </Button>
        </form>
      </Mistakes.Provider>
    </Panel>
  );
}

function Sessions() {
  const loaded = useLoad((s) => get<{ sessions: Session[] | null }>("/v1/sessions", s), []);
  const end = (s: Session) => async () => {
    await del(at`/v1/sessions/${s.id}`);
    loaded.reload();
  };
  return (
    <Panel title="Sessions" flush>
      <Show of={loaded} what="The sessions" rows={3}>
        {(d) => (
          <Table
            label="Sessions"
            rows={d.sessions ?? []}
            rowKey={(s) => s.id}
            columns={[
              { head: "Operator", cell: (s) => s.operator },
              { head: "From", cell: (s) => s.from || "–" },
              { head: "Browser", cell: (s) => browser(s.agent), hide: true },
              { head: "Seen", cell: (s) => ago(s.seen) },
              { head: "", cell: (s) => (s.current ? <Badge state="ok">this one</Badge> : <Act small run={end(s)} done="Ended.">End</Act>) },
            ]}
          />
        )}
      </Show>
    </Panel>
  );
}

function browser(agent: string): string {
  const m = /(Firefox|Edg|Chrome|Chromium|Safari|curl)\/(\d+)/.exec(agent);
  return m ? `${m[1] === "Edg" ? "Edge" : m[1]} ${m[2]}` : agent.slice(0, 40) || "–";
}

function Publishers() {
  return (
    <>
      <Notice>Publishers, purposes, connectors and retention live in the appliance's configuration files, so that they can be reviewed and kept under version control. This is what is in force.</Notice>
      {(me.value?.publishers ?? []).map((p) => (
        <OnePublisher key={p.name} name={p.name} />
      ))}
      {me.value?.publishers.length === 0 && (
        <Empty icon="settings" title="No publisher yet">
          <p>
            Add a <code>publisher</code> block to the configuration and run <code>cloister reload</code>.
          </p>
        </Empty>
      )}
    </>
  );
}

function OnePublisher({ name }: { name: string }) {
  const loaded = useLoad((s) => get<Publisher>(at`/v1/publishers/${name}`, s), [name]);
  const p = loaded.data;
  if (!p) return <Panel title={name}>{loaded.error ? <FieldError>{explain(loaded.error)}</FieldError> : <Skeleton rows={4} />}</Panel>;
  return (
    <Panel title={p.title || p.name} note={p.name}>
      <dl class="pairs">
        <div>
          <dt>Time zone</dt>
          <dd>{p.timezone}</dd>
        </div>
        <div>
          <dt>Keeps</dt>
          <dd>
            {plural(p.rows, "event")} of {plural(p.people, "person", "people")}
          </dd>
        </div>
        <div>
          <dt>Channels</dt>
          <dd>{(p.channels ?? []).map(channel).join(", ") || "none: no connector is configured"}</dd>
        </div>
      </dl>
      <h3>Purposes</h3>
      {(p.purposes ?? []).length === 0 ? (
        <p class="note">None. A campaign needs one: consent is given by purpose.</p>
      ) : (
        <Table
          label={`Purposes of ${p.title || p.name}`}
          rows={p.purposes}
          columns={[
            { head: "Purpose", cell: (x) => x.title || x.name },
            { head: "Name", cell: (x) => <code>{x.name}</code> },
            { head: "Basis", cell: (x) => title(x.basis) },
            { head: "Channels", cell: (x) => (x.channels ?? []).map(channel).join(", ") || "all" },
          ]}
        />
      )}
      <h3>Events</h3>
      {(p.events ?? []).length === 0 ? (
        <p class="note">None yet. They appear as they arrive; nothing needs to be declared first.</p>
      ) : (
        <Table
          label={`Events of ${p.title || p.name}`}
          rows={[...p.events].sort((a, b) => b.rows - a.rows)}
          more={20}
          columns={[
            { head: "Event", cell: (x) => x.name },
            { head: "Rows", number: true, cell: (x) => num(x.rows) },
            { head: "Properties", cell: (x) => <span class="clip">{(x.keys ?? []).join(", ") || "–"}</span>, hide: true },
            { head: "Latest", cell: (x) => dateTime(x.last) },
          ]}
        />
      )}
    </Panel>
  );
}

function Audit() {
  const publishers = me.value?.publishers ?? [];
  const [p, setP] = useState("");
  const loaded = useLoad((s) => get<{ entries: AuditEntry[] | null }>(`/v1/audit?limit=500${p ? "&publisher=" + encodeURIComponent(p) : ""}`, s), [p], { every: 20 });
  const save = () => {
    const rows = loaded.data?.entries ?? [];
    download("audit.csv", csv(["n", "time", "actor", "action", "publisher", "subject", "outcome", "from"], rows.map((e) => [e.n, e.time, e.actor, e.action, e.publisher, e.subject, e.outcome, e.from])));
  };
  return (
    <Panel
      title="Audit"
      note={`reads of personal data are in it too; times in ${zone()}`}
      flush
      actions={
        <>
          {publishers.length > 1 && <Select aria-label="Publisher" value={p} onValue={setP} options={[{ value: "", label: "Everything" }, ...publishers.map((x) => ({ value: x.name, label: x.title || x.name }))]} />}
          <Button small kind="quiet" onClick={save} disabled={!loaded.data?.entries?.length}>
            CSV
          </Button>
        </>
      }
    >
      <Show of={loaded} what="The audit" rows={8}>
        {(d) =>
          !d.entries?.length ? (
            <Empty icon="key" title="Nothing was done yet" />
          ) : (
            <Table
              label="Audit entries, newest first"
              rows={d.entries}
              rowKey={(e) => e.n}
              columns={[
                { head: "Time", cell: (e) => dateTimeSeconds(e.time) },
                { head: "Who", cell: (e) => e.actor },
                { head: "Did", cell: (e) => e.action },
                { head: "To", cell: (e) => [e.publisher, e.subject].filter(Boolean).join(", ") || "–" },
                { head: "Outcome", cell: (e) => <Badge state={e.outcome} tone={/ok|done|yes|allowed/.test(e.outcome) ? "good" : undefined} /> },
                { head: "From", cell: (e) => e.from || "–", hide: true },
              ]}
            />
          )
        }
      </Show>
    </Panel>
  );
}
