// Records that a detector held: they go no further until an admin decides. Each
// look at them is in the audit, so they are asked for when their count changes,
// not every few seconds.
import { useState } from "preact/hooks";
import { ApiError, at, del, get, post } from "../api/client";
import type { HeldRecord } from "../api/types";
import { Button } from "../parts/Button";
import { Confirm } from "../parts/Dialog";
import { ago, dateTime, dateTimeSeconds, num, plural } from "../parts/format";
import { Badge, Empty, Failure, Panel, Skeleton } from "../parts/Page";
import { peopleLink } from "../parts/Shell";
import { useLoad } from "../state/load";
import { api } from "../state/session";
import { toast } from "../state/toast";
import { kinds, Record } from "./IncomingRecord";

const asked = 100;
const found: { [kind: string]: string } = { card: "card number", national_id: "national id", iban: "IBAN", email: "e-mail address", phone: "phone number" };

type Way = "is" | "masked" | "discard";
const ways: { [way in Way]: { verb: string; title: string; says: string; done: string } } = {
  is: { verb: "Release as it is", title: "Release the record as it is", says: "It is taken with what was found in it, readable for whoever may read events. It starts no campaign.", done: "The record was released as it is." },
  masked: { verb: "Release masked", title: "Release the record masked", says: "It is taken as it stands here: what was found stays masked for good. It starts no campaign.", done: "The record was released masked." },
  discard: { verb: "Discard", title: "Discard the record", says: "It is thrown away, and cannot be had back.", done: "The record was discarded." },
};

// count is how many wait, as far as the page knows; changed asks for it anew.
export function Held({ count, changed }: { count: number | undefined; changed: () => void }) {
  const loaded = useLoad((s) => get<{ held: HeldRecord[]; count: number }>(api(`held?limit=${asked}`), s), [count], { skip: count === undefined });
  const [decided, setDecided] = useState<number[]>([]);
  const [asking, setAsking] = useState<{ h: HeldRecord; way: Way } | null>(null);
  if (loaded.error && !loaded.data) return <Failure error={loaded.error} what="The held records" retry={loaded.reload} />;
  if (!loaded.data) return <Skeleton rows={6} />;
  const rows = loaded.data.held.filter((h) => !decided.includes(h.n));
  const more = loaded.data.count > loaded.data.held.length;
  const decide = async (h: HeldRecord, way: Way) => {
    let said = ways[way].done;
    try {
      if (way === "discard") await del(api(at`held/${h.n}`));
      else await post(api(at`held/${h.n}/release`), { as: way });
    } catch (e) {
      if (!(e instanceof ApiError && e.status === 404)) throw e;
      said = "The record was not there any more: somebody else decided, its month was over, or its person was erased.";
    }
    toast(said);
    setDecided((all) => [...all, h.n]);
    changed();
  };
  return (
    <>
      <Panel title="Held records" note={rows.length ? `${more ? `the oldest ${num(rows.length)} of ${num(loaded.data.count)}` : plural(rows.length, "record") + ", oldest first"}; what was found is masked` : undefined} flush>
        {rows.length === 0 ? (
          more ? (
            <Skeleton rows={6} />
          ) : (
            <Empty icon="check" title="Nothing waits">
              <p>Where the publisher&rsquo;s <code>detect</code> block says <code>hold</code>, records in which something is found wait here, for a month at most, until an admin has looked at them.</p>
            </Empty>
          )
        ) : (
          <ol class="incoming">
            {rows.map((h) => (
              <li key={h.n}>
                <One h={h} choose={(way) => setAsking({ h, way })} />
              </li>
            ))}
          </ol>
        )}
      </Panel>
      {asking && (
        <Confirm title={ways[asking.way].title} verb={ways[asking.way].verb} danger={asking.way !== "masked"} close={() => setAsking(null)} run={() => decide(asking.h, asking.way)}>
          <p>{ways[asking.way].says}</p>
        </Confirm>
      )}
    </>
  );
}

function One({ h, choose }: { h: HeldRecord; choose: (way: Way) => void }) {
  const f = h.facts[0];
  const user = h.facts.find((x) => x.user)?.user ?? "";
  const device = h.facts.find((x) => x.device)?.device ?? "";
  const why = h.kinds.map((k) => found[k] ?? k).join(", ");
  return (
    <Record
      at={h.at}
      state={<Badge state="held" tone="warn">Held</Badge>}
      what={<b>{!f ? "A record" : f.kind === "track" ? f.event : (kinds[f.kind] ?? f.kind)}</b>}
      who={user || device}
      source={[h.dialect, h.key]}
      short={
        <span>
          <i>found</i> {why}
        </span>
      }
      facts={[
        ["Found", why],
        ["Happened", f?.ts ? dateTimeSeconds(f.ts) : ""],
        ["Arrived", dateTimeSeconds(h.at)],
        ["Discarded by itself", `${dateTime(h.expires)}, ${ago(h.expires)}`],
        ["User", user && <a href={peopleLink(user)}>{user}</a>],
        ["Device", device],
      ]}
      json={h.facts.length === 1 ? f : h.facts}
    >
      <div class="incoming-acts">
        <Button small onClick={() => choose("masked")}>Release masked</Button>
        <Button small onClick={() => choose("is")}>Release as it is</Button>
        <Button small kind="danger" onClick={() => choose("discard")}>Discard</Button>
      </div>
    </Record>
  );
}
