// What apps send, as it comes in, and what was not taken: for whoever connects one.
import { useRef, useState } from "preact/hooks";
import { get } from "../api/client";
import type { Arrival, Json, Refusal } from "../api/types";
import { Button } from "../parts/Button";
import { Choice, Select } from "../parts/Field";
import { dateTimeSeconds, num, plural, zone } from "../parts/format";
import { Badge, Empty, Failure, Notice, Page, Panel, Skeleton } from "../parts/Page";
import { peopleLink } from "../parts/Shell";
import { useLoad } from "../state/load";
import { readHash, setHash } from "../state/router";
import { api, can, link } from "../state/session";
import { Held } from "./Held";
import { kinds, Record } from "./IncomingRecord";

type Row = { key: string; at: string } & ({ arrival: Arrival } | { refusal: Refusal });
type Shown = "all" | "taken" | "refused" | "held";

const asked = 200; // of each list: filters look into all of it
const kept = 60; // rows

// One look at the doors: both lists, the newest of each.
interface Look {
  arrivals: Arrival[];
  refusals: Refusal[];
  counts: { dialect: string; code: string; accepted: boolean; count: number }[];
  applied: { [reason: string]: number };
  held: number;
  masked: boolean;
}

async function look(signal: AbortSignal): Promise<Look> {
  const [a, r] = await Promise.all([
    get<{ arrivals: Arrival[]; masked: boolean }>(api(`arrivals?limit=${asked}`), signal),
    get<Omit<Look, "arrivals">>(api(`refusals?limit=${asked}`), signal),
  ]);
  return { ...r, arrivals: a.arrivals, masked: a.masked };
}

export function Incoming() {
  const hash = readHash();
  const wanted = (hash.get("show") as Shown | null) ?? "all";
  const shown = wanted === "held" && !can("held") ? "all" : wanted;
  const held = shown === "held";
  const [stopped, setStill] = useState(false);
  const still = stopped && !held;
  const loaded = useLoad(look, [still], { every: still ? undefined : 2 });
  const data = useRef<Look | undefined>(undefined);
  if (!still || !data.current) data.current = loaded.data ?? data.current;
  const d = data.current;
  const key = hash.get("key") ?? "";
  const dialect = hash.get("dialect") ?? "";
  const set = (name: string, value: string) => {
    const next = new URLSearchParams(readHash());
    if (value) next.set(name, value);
    else next.delete(name);
    setHash(next.toString());
  };
  const everything: Row[] = d
    ? [
        ...d.arrivals.map((arrival): Row => ({ key: "a" + arrival.n, at: arrival.at, arrival })),
        ...d.refusals.map((refusal): Row => ({ key: "r" + refusal.n, at: refusal.at, refusal })),
      ]
    : [];
  const source = (r: Row) => ("arrival" in r ? r.arrival : r.refusal);
  const names = (f: (r: Row) => string) => [...new Set(everything.map(f))].filter(Boolean).sort();
  const rows = everything
    .filter((r) => (shown === "all" || (shown === "taken") === "arrival" in r) && (!key || source(r).key === key) && (!dialect || source(r).dialect === dialect))
    .sort((x, y) => (x.at < y.at ? 1 : x.at > y.at ? -1 : 0))
    .slice(0, kept);
  return (
    <Page
      title="Incoming"
      wide
      lead={
        held ? (
          <p>Records in which a detector found something. They go no further until you release or discard them; each look at them is in the audit. Times are in {zone()}.</p>
        ) : (
          <p>What apps send, as it comes in, and what was not taken, with the reason. Some of each second, of the last quarter of an hour. Times are in {zone()}.</p>
        )
      }
      actions={
        <>
          {!held && (
            <Button icon={still ? "play" : "pause"} onClick={() => setStill(!still)}>
              {still ? "Go on" : "Hold still"}
            </Button>
          )}
          <a class="button plain" href={link("developers")}>
            Connect an app
          </a>
        </>
      }
    >
      <div class="incoming-tools">
        <Choice
          label="Show"
          value={shown}
          onValue={(v) => set("show", v === "all" ? "" : v)}
          options={[
            { value: "all", label: "All" },
            { value: "taken", label: "Taken" },
            { value: "refused", label: "Not taken" },
            ...(can("held") ? [{ value: "held" as const, label: d?.held ? `Held (${num(d.held)})` : "Held" }] : []),
          ]}
        />
        {!held && (
          <>
            <Select aria-label="Dialect" value={dialect} onValue={(v) => set("dialect", v)} options={[{ value: "", label: "Every dialect" }, ...named(names((r) => source(r).dialect), dialect)]} />
            <Select aria-label="Key" value={key} onValue={(v) => set("key", v)} options={[{ value: "", label: "Every key" }, ...named(names((r) => source(r).key), key)]} />
          </>
        )}
      </div>
      {d && !held && <Counts d={d} />}
      {held ? (
        <Held count={d?.held} changed={loaded.reload} />
      ) : loaded.error && !d ? (
        <Failure error={loaded.error} what="What came in" retry={loaded.reload} />
      ) : !d ? (
        <Skeleton rows={8} />
      ) : (
        <Panel title="Records" note={rows.length ? `${plural(rows.length, "record")}, newest first${d.masked ? "; values are masked for your role" : ""}` : undefined} flush>
          {rows.length === 0 ? (
            <Empty icon="incoming" title={shown === "refused" ? "Nothing was turned away" : everything.length ? "Nothing of this kind" : "Nothing came in lately"} action={<a class="button primary" href={link("developers")}>Connect an app</a>}>
              <p>{shown === "refused" ? "What the doors do not take stands here for a day, with the reason and the record." : "Send something: it stands here within two seconds."}</p>
            </Empty>
          ) : (
            <ol class="incoming">
              {rows.map((r) => (
                <li key={r.key}>{"arrival" in r ? <Taken a={r.arrival} /> : <NotTaken r={r.refusal} />}</li>
              ))}
            </ol>
          )}
        </Panel>
      )}
    </Page>
  );
}

// named are options, with the chosen one among them even when nothing of it is in view.
function named(names: string[], chosen: string) {
  return [...new Set([...names, ...(chosen ? [chosen] : [])])].map((n) => ({ value: n, label: n }));
}

function Counts({ d }: { d: Look }) {
  const reasons = d.counts.filter((c) => !c.accepted && c.count > 0).sort((x, y) => y.count - x.count);
  const behind = Object.entries(d.applied).filter(([, n]) => n > 0);
  if (reasons.length + behind.length === 0 && d.held === 0) return null;
  return (
    <Notice kind="info" title="Since the start">
      <ul class="incoming-counts">
        {reasons.slice(0, 6).map((c) => (
          <li key={c.dialect + c.code}>
            {c.dialect}: {num(c.count)} not taken, <code>{c.code}</code>
          </li>
        ))}
        {behind.map(([reason, n]) => (
          <li key={reason}>
            {num(n)} left out behind the door, <code>{reason}</code>
          </li>
        ))}
        {d.held > 0 && (
          <li>
            {can("held") ? <a href="#show=held">{plural(d.held, "record")}</a> : plural(d.held, "record")} {d.held === 1 ? "waits" : "wait"} until an admin has looked at {d.held === 1 ? "it" : "them"}
          </li>
        )}
      </ul>
    </Notice>
  );
}

function Taken({ a }: { a: Arrival }) {
  const said = Object.entries(a.detail ?? {}).flatMap(([member, v]) => (member === "props" || member === "profile" ? Object.entries((v ?? {}) as { [k: string]: Json }) : [[member, v] as [string, Json]]));
  return (
    <Record
      at={a.at}
      state={<Badge state="taken" tone="good">Taken</Badge>}
      what={<b>{a.kind === "track" ? a.event : (kinds[a.kind] ?? a.kind)}</b>}
      who={a.user || a.anonymous}
      source={[a.dialect, a.key, a.sender]}
      short={said.slice(0, 4).map(([k, v]) => (
        <span key={k}>
          <i>{k}</i> {typeof v === "object" && v !== null ? JSON.stringify(v) : String(v)}
        </span>
      ))}
      facts={[
        ["Happened", dateTimeSeconds(a.ts)],
        ["Arrived", dateTimeSeconds(a.at)],
        ["User", a.user && a.user !== "•••" ? <a href={peopleLink(a.user)}>{a.user}</a> : a.user],
        ["Device", a.anonymous],
        ["Message id", a.id],
      ]}
      json={a.detail}
    />
  );
}

function NotTaken({ r }: { r: Refusal }) {
  const record = r.record as { [k: string]: Json } | null;
  const text = (...names: string[]) => names.map((n) => record?.[n]).find((v): v is string => typeof v === "string") ?? "";
  return (
    <Record
      at={r.at}
      state={r.accepted ? <Badge state="noted" tone="warn">Noted</Badge> : <Badge state="refused">Not taken</Badge>}
      what={<b>{text("event", "evtName", "event_type") || (r.index < 0 ? "A request" : "A record")}</b>}
      who={text("user", "userId", "identity", "distinct_id", "user_id", "anonymous", "anonymousId")}
      source={[r.dialect, r.key]}
      short={
        <span>
          <code>{r.code}</code> {r.field && <i>{r.field}</i>} {r.message}
        </span>
      }
      facts={[
        ["Why", r.message],
        ["Field", r.field],
        ["Code", r.code],
        ["In its request", r.index < 0 ? "the request as a whole" : `record ${num(r.index + 1)}`],
        ["Arrived", dateTimeSeconds(r.at)],
      ]}
      json={r.record}
      gone={r.bytes > 0 && r.record === null ? `The record (${plural(r.bytes, "byte")}) is not shown: your role does not read records, it was too long, or somebody was erased since.` : undefined}
    />
  );
}
