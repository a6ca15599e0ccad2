// What one person did, a page at a time.
import { useEffect, useState } from "preact/hooks";
import { ApiError, explain, get } from "../api/client";
import type { Json, TimelineEvent } from "../api/types";
import { Button } from "../parts/Button";
import { Choice } from "../parts/Field";
import { clock, dayOf, isId, value } from "../parts/format";
import { Empty, Notice, Panel, Skeleton } from "../parts/Page";
import { isOwn } from "../question/shared";
import { api } from "../state/session";

const page = 50;

export function Timeline({ identity }: { identity: string }) {
  const [order, setOrder] = useState("desc");
  const [events, setEvents] = useState<TimelineEvent[] | null>(null);
  const [more, setMore] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);

  const load = async (signal: AbortSignal | undefined, before: string) => {
    setBusy(true);
    setError(null);
    try {
      const q = new URLSearchParams({ limit: String(page + 1) });
      if (order === "asc") q.set("order", "asc");
      if (before) q.set("before", before);
      const r = await get<{ events: TimelineEvent[] | null }>(api(`people/${encodeURIComponent(identity)}/timeline?${q}`), signal);
      const got = r.events ?? [];
      setMore(got.length > page);
      setEvents((old) => [...(before ? (old ?? []) : []), ...got.slice(0, page)]);
    } catch (e) {
      if (!signal?.aborted) setError(e);
    } finally {
      if (!signal?.aborted) setBusy(false);
    }
  };
  useEffect(() => {
    const stop = new AbortController();
    setEvents(null);
    void load(stop.signal, "");
    return () => stop.abort();
  }, [identity, order]);

  return (
    <Panel
      title="Timeline"
      flush
      actions={<Choice label="Order" value={order} onValue={setOrder} options={[{ value: "desc", label: "Newest first" }, { value: "asc", label: "Oldest first" }]} />}
    >
      {error ? (
        <div class="pad">
          <Notice kind="bad">{error instanceof ApiError ? error.message : explain(error)}</Notice>
        </div>
      ) : !events ? (
        <Skeleton rows={6} />
      ) : events.length === 0 ? (
        <Empty icon="clock" title="Nothing happened yet">
          <p>This person is known from an uploaded profile. What they do shows here.</p>
        </Empty>
      ) : (
        <Days events={events} />
      )}
      {more && events && (
        <div class="table-more">
          {order === "desc" ? (
            <Button small disabled={busy} aria-busy={busy} onClick={() => void load(undefined, cut(events))}>
              Earlier
            </Button>
          ) : (
            <span class="note">The first {page}. Newest first goes further.</span>
          )}
        </div>
      )}
    </Panel>
  );
}

// cut is the instant to go on before. Events with the very same instant as the
// last one could lie on both sides of a page, so the last instant is asked for
// again only if the page holds more than that one.
function cut(events: TimelineEvent[]): string {
  return events[events.length - 1]!.ts;
}

function Days({ events }: { events: TimelineEvent[] }) {
  const days: { day: string; events: TimelineEvent[] }[] = [];
  for (const e of events) {
    const day = dayOf(new Date(e.ts));
    if (days[days.length - 1]?.day !== day) days.push({ day, events: [] });
    days[days.length - 1]!.events.push(e);
  }
  return (
    <div class="timeline">
      {days.map((d) => (
        <section key={d.day}>
          <h3>{longDay(d.day)}</h3>
          <ol>
            {d.events.map((e, i) => (
              <Happened key={e.ts + e.event + i} event={e} own={isOwn(e.event)} />
            ))}
          </ol>
        </section>
      ))}
    </div>
  );
}

function longDay(day: string): string {
  return new Date(day + "T00:00:00Z").toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
}

function Happened({ event: e, own }: { event: TimelineEvent; own: boolean }) {
  const props = Object.entries(e.props ?? {});
  const short = props.filter(([, v]) => v !== "" && !isId(v)).slice(0, 4);
  return (
    <li class={own ? "own" : undefined}>
      <time dateTime={e.ts}>{clock(e.ts)}</time>
      {props.length === 0 ? (
        <div class="happened">
          <b>{e.event}</b>
        </div>
      ) : (
        <details class="happened">
          <summary>
            <b>{e.event}</b>
            <span class="happened-short">
              {short.map(([k, v]) => (
                <span key={k}>
                  <i>{k}</i> {value(v)}
                </span>
              ))}
              {props.length > short.length && <span>and {props.length - short.length} more</span>}
            </span>
          </summary>
          <dl class="pairs tight">
            {props.map(([k, v]) => (
              <div key={k}>
                <dt>{k}</dt>
                <dd>{full(v)}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </li>
  );
}

function full(v: Json) {
  return typeof v === "object" && v !== null && !(Array.isArray(v) && v.every((x) => typeof x !== "object")) ? <pre class="inline-json">{JSON.stringify(v, null, 2)}</pre> : value(v);
}
