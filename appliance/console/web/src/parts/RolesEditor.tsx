// Roles by publisher; the star is every publisher.
import type { Roles } from "../api/types";
import { me } from "../state/session";
import { IconButton, Button } from "./Button";
import { Badge } from "./Page";
import { Field, Select } from "./Field";
import { title } from "./format";

export const roleNames = ["analyst", "marketer", "admin", "auditor"];
const publisherName = (p: string) => (p === "*" ? "Every publisher" : me.value?.publishers.find((x) => x.name === p)?.title || p);

export function RolesEditor({ value, onValue }: { value: Roles; onValue: (r: Roles) => void }) {
  const all = ["*", ...(me.value?.publishers.map((p) => p.name) ?? [])];
  const used = Object.keys(value);
  const free = all.filter((p) => !used.includes(p));
  const rename = (from: string, to: string) => onValue(Object.fromEntries(Object.entries(value).map(([k, v]) => [k === from ? to : k, v])));
  return (
    <Field label="Roles" path="roles" deep hint="Analysts ask, without names. Marketers also run campaigns. Admins do everything. Auditors see what was done, and no people.">
      {(a) => (
        <div class="roles" id={a.id} role="group" aria-label="Roles">
          {Object.entries(value).map(([p, r]) => (
            <div class="pair" key={p}>
              <Select aria-label="Publisher" value={p} onValue={(to) => rename(p, to)} options={[p, ...free].map((x) => ({ value: x, label: publisherName(x) }))} />
              <Select aria-label="Role" value={r} onValue={(role) => onValue({ ...value, [p]: role })} options={roleNames.map((x) => ({ value: x, label: title(x) }))} />
              <IconButton small icon="close" label="Remove this role" disabled={used.length === 1} onClick={() => onValue(Object.fromEntries(Object.entries(value).filter(([k]) => k !== p)))} />
            </div>
          ))}
          {free.length > 0 && (
            <Button small kind="quiet" icon="plus" onClick={() => onValue({ ...value, [free[0]!]: "analyst" })}>
              Another publisher
            </Button>
          )}
        </div>
      )}
    </Field>
  );
}

export function RolesText({ roles }: { roles: Roles | null }) {
  return (
    <span class="role-list">
      {Object.entries(roles ?? {}).map(([p, r]) => (
        <Badge key={p} state={r} tone="calm">
          {r}
          {p === "*" ? "" : ` of ${publisherName(p)}`}
        </Badge>
      ))}
    </span>
  );
}
