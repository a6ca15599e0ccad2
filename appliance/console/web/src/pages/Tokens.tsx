// Tokens let programs in.
import { useState } from "preact/hooks";
import { at, del, explain, get, post } from "../api/client";
import type { Roles, Token } from "../api/types";
import { Button, Copy } from "../parts/Button";
import { Confirm, Dialog } from "../parts/Dialog";
import { Field, FieldError, Input, Mistakes, mistakesOf, Select } from "../parts/Field";
import { ago, date } from "../parts/format";
import { Empty, Panel, Show } from "../parts/Page";
import { RolesEditor, RolesText } from "../parts/RolesEditor";
import { Table } from "../parts/Table";
import { useLoad } from "../state/load";
import { me } from "../state/session";
import { toast } from "../state/toast";

export function Tokens() {
  const loaded = useLoad((s) => get<{ tokens: Token[] | null }>("/v1/tokens", s), []);
  const [making, setMaking] = useState(false);
  const [removing, setRemoving] = useState<Token | null>(null);
  const make = (
    <Button small kind="primary" icon="plus" onClick={() => setMaking(true)}>
      New token
    </Button>
  );
  return (
    <>
      <Panel title="Tokens" note="for programs" flush actions={make}>
        <Show of={loaded} what="The tokens">
          {(d) =>
            !d.tokens?.length ? (
              <Empty icon="key" title="No tokens yet" action={make}>
                <p>A token lets a program ask and do what its role allows: a report at night, a warehouse that reads along.</p>
              </Empty>
            ) : (
              <Table
                label="Tokens"
                rows={d.tokens}
                rowKey={(t) => t.id}
                columns={[
                  { head: "Name", cell: (t) => t.name },
                  { head: "Roles", cell: (t) => <RolesText roles={t.roles} /> },
                  { head: "Made by", cell: (t) => t.by, hide: true },
                  { head: "Used", cell: (t) => (t.used ? ago(t.used) : "never") },
                  { head: "Ends", cell: (t) => date(t.expires) },
                  { head: "", cell: (t) => <Button small kind="quiet" onClick={() => setRemoving(t)}>Remove</Button> },
                ]}
              />
            )
          }
        </Show>
      </Panel>
      {making && <Make close={() => { setMaking(false); loaded.reload(); }} />}
      {removing && (
        <Confirm
          title={`Remove ${removing.name}`}
          verb="Remove"
          close={() => setRemoving(null)}
          run={async () => {
            await del(at`/v1/tokens/${removing.id}`);
            toast("The token does not work any more.");
            loaded.reload();
          }}
        >
          <p>What uses it stops working at once.</p>
        </Confirm>
      )}
    </>
  );
}

function Make({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [ttl, setTtl] = useState("90d");
  const [roles, setRoles] = useState<Roles>({ [me.value?.publishers[0]?.name ?? "*"]: "analyst" });
  const [secret, setSecret] = useState("");
  const [error, setError] = useState<unknown>(null);
  const save = async (e: Event) => {
    e.preventDefault();
    setError(null);
    try {
      setSecret((await post<{ token: Token; secret: string }>("/v1/tokens", { name: name.trim(), roles, ttl })).secret);
    } catch (err) {
      setError(err);
    }
  };
  const mistakes = mistakesOf(error);
  if (secret) {
    return (
      <Dialog title={`The token ${name}`} close={close}>
        <div class="dialog-body">
          <p>This is shown once. Keep it where the program finds it, and nowhere else.</p>
          <p class="secret">
            <code>{secret}</code>
          </p>
        </div>
        <footer class="dialog-foot">
          <Copy text={secret} label="Copy token" />
          <Button kind="primary" onClick={close}>Done</Button>
        </footer>
      </Dialog>
    );
  }
  return (
    <Dialog title="New token" close={close}>
      <Mistakes.Provider value={mistakes}>
        <form onSubmit={save}>
          <div class="dialog-body">
            <Field label="Name" path="name" hint="What uses it, such as warehouse.">
              {(a) => <Input {...a} value={name} onValue={setName} required autofocus autocomplete="off" />}
            </Field>
            <RolesEditor value={roles} onValue={setRoles} />
            <Field label="Ends after" path="ttl">
              {(a) => <Select {...a} value={ttl} onValue={setTtl} options={[{ value: "1d", label: "1 day" }, { value: "7d", label: "7 days" }, { value: "30d", label: "30 days" }, { value: "90d", label: "90 days" }, { value: "366d", label: "A year" }]} />}
            </Field>
            {error != null && mistakes.length === 0 && <FieldError>{explain(error)}</FieldError>}
          </div>
          <footer class="dialog-foot">
            <Button onClick={close}>Cancel</Button>
            <Button type="submit" kind="primary" disabled={!name.trim()}>Make</Button>
          </footer>
        </form>
      </Mistakes.Provider>
    </Dialog>
  );
}
