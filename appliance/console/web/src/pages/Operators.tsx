// Who works here.
import { useState } from "preact/hooks";
import { at, del, explain, get, post, put } from "../api/client";
import type { Operator, Roles } from "../api/types";
import { Act, Button, Copy } from "../parts/Button";
import { Confirm, Dialog } from "../parts/Dialog";
import { Field, FieldError, Input, Mistakes, mistakesOf } from "../parts/Field";
import { ago, dateTime } from "../parts/format";
import { Panel, Show } from "../parts/Page";
import { RolesEditor, RolesText } from "../parts/RolesEditor";
import { Table } from "../parts/Table";
import { useLoad } from "../state/load";
import { me } from "../state/session";
import { toast } from "../state/toast";

interface Handed {
  name: string;
  link: string;
  expires: string;
}

export function Operators() {
  const loaded = useLoad((s) => get<{ operators: Operator[] | null }>("/v1/operators", s), []);
  const [editing, setEditing] = useState<Operator | "new" | null>(null);
  const [removing, setRemoving] = useState<Operator | null>(null);
  const [handed, setHanded] = useState<Handed | null>(null);
  const invite = (o: Operator) => async () => {
    const r = await post<{ link: string; expires: string }>(at`/v1/operators/${o.name}/link`);
    setHanded({ name: o.name, ...r });
  };
  return (
    <>
      <Panel title="Operators" flush actions={<Button small kind="primary" icon="plus" onClick={() => setEditing("new")}>New operator</Button>}>
        <Show of={loaded} what="The operators">
          {(d) => (
            <Table
              label="Operators"
              rows={d.operators ?? []}
              rowKey={(o) => o.name}
              columns={[
                { head: "Name", cell: (o) => o.name + (o.name === me.value?.operator.name ? " (you)" : "") },
                { head: "Roles", cell: (o) => <RolesText roles={o.roles} /> },
                { head: "Last here", cell: (o) => (o.seen ? ago(o.seen) : "never"), hide: true },
                {
                  head: "",
                  cell: (o) => (
                    <span class="row-tools">
                      <Act small kind="quiet" run={invite(o)}>Sign-in link</Act>
                      <Button small kind="quiet" onClick={() => setEditing(o)}>Roles</Button>
                      {o.name !== me.value?.operator.name && <Button small kind="quiet" onClick={() => setRemoving(o)}>Remove</Button>}
                    </span>
                  ),
                },
              ]}
            />
          )}
        </Show>
      </Panel>
      {editing && <Edit of={editing} close={() => setEditing(null)} done={(h) => { setEditing(null); loaded.reload(); if (h) setHanded(h); }} />}
      {handed && <HandOver h={handed} close={() => setHanded(null)} />}
      {removing && (
        <Confirm
          title={`Remove ${removing.name}`}
          verb="Remove"
          close={() => setRemoving(null)}
          run={async () => {
            await del(at`/v1/operators/${removing.name}`);
            toast(`${removing.name} is removed, and their sessions have ended.`);
            loaded.reload();
          }}
        >
          <p>They are signed out everywhere at once. What they did stays in the audit. Their tokens stay until you remove them.</p>
        </Confirm>
      )}
    </>
  );
}

function Edit({ of, close, done }: { of: Operator | "new"; close: () => void; done: (h?: Handed) => void }) {
  const fresh = of === "new";
  const [name, setName] = useState(fresh ? "" : of.name);
  const [roles, setRoles] = useState<Roles>(fresh ? { [me.value?.publishers[0]?.name ?? "*"]: "analyst" } : (of.roles ?? {}));
  const [error, setError] = useState<unknown>(null);
  const save = async (e: Event) => {
    e.preventDefault();
    setError(null);
    try {
      if (fresh) {
        const r = await post<{ operator: Operator; link: string; expires: string }>("/v1/operators", { name: name.trim().toLowerCase(), roles });
        done({ name: r.operator.name, link: r.link, expires: r.expires });
      } else {
        await put(at`/v1/operators/${name}`, { roles });
        toast("Saved.");
        done();
      }
    } catch (err) {
      setError(err);
    }
  };
  const mistakes = mistakesOf(error);
  return (
    <Dialog title={fresh ? "New operator" : `Roles of ${name}`} close={close}>
      <Mistakes.Provider value={mistakes}>
        <form onSubmit={save}>
          <div class="dialog-body">
            {fresh && (
              <Field label="Name" path="name" hint="Small letters, digits and . _ @ - . Often their e-mail address.">
                {(a) => <Input {...a} value={name} onValue={setName} required autofocus autocomplete="off" />}
              </Field>
            )}
            <RolesEditor value={roles} onValue={setRoles} />
            {error != null && mistakes.length === 0 && <FieldError>{explain(error)}</FieldError>}
          </div>
          <footer class="dialog-foot">
            <Button onClick={close}>Cancel</Button>
            <Button type="submit" kind="primary">{fresh ? "Make, and get a link" : "Save"}</Button>
          </footer>
        </form>
      </Mistakes.Provider>
    </Dialog>
  );
}

function HandOver({ h, close }: { h: Handed; close: () => void }) {
  const whole = h.link.startsWith("http") ? h.link : location.origin + h.link;
  return (
    <Dialog title={`A link for ${h.name}`} close={close}>
      <div class="dialog-body">
        <p>Hand this to {h.name} by a way you trust. It lets whoever has it in, once, until {dateTime(h.expires)}.</p>
        <p class="secret">
          <code>{whole}</code>
        </p>
      </div>
      <footer class="dialog-foot">
        <Copy text={whole} label="Copy link" />
        <Button kind="primary" onClick={close}>Done</Button>
      </footer>
    </Dialog>
  );
}
