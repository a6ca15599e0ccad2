// What happens now.
import { useEffect, useMemo } from "preact/hooks";
import { listen, type Arrival, type Live as Stream } from "../api/live";
import { Button } from "../parts/Button";
import { clock, compact, isId, num, plural, value, zone } from "../parts/format";
import { Bars, Spark } from "../parts/Plot";
import { Empty, Niche, Page, Panel, Skeleton, Stat } from "../parts/Page";
import { peopleLink } from "../parts/Shell";
import { isOwn } from "../question/shared";
import { api, link, publisher } from "../state/session";

export function Live() {
  const live = useMemo(() => listen(api("live")), []);
  useEffect(() => live.close, [live]);
  const p = publisher.value!;
  return (
    <Page
      title="Live"
      wide
      lead={<p>People of {p.title || p.name} as they arrive. Times are in {zone()}.</p>}
      actions={<PauseButton live={live} />}
    >
      <Pulse live={live} />
      <div class="live">
        <Arrivals live={live} />
        <Mix live={live} />
      </div>
    </Page>
  );
}

function PauseButton({ live }: { live: Stream }) {
  const on = live.paused.value;
  return (
    <Button
      icon={on ? "play" : "pause"}
      onClick={() => {
        live.paused.value = !on;
        live.behind.value = 0;
      }}
    >
      {on ? (live.behind.value ? `Go on (${plural(live.behind.value, "new event")})` : "Go on") : "Hold still"}
    </Button>
  );
}

function Pulse({ live }: { live: Stream }) {
  const p = live.pulse.value;
  const rates = live.rates.value;
  return (
    <div class="pulse">
      <div class="pulse-rate">
        <div>
          <p class="pulse-label">
            <span class={`lamp${live.open.value ? " on" : ""}`} aria-hidden="true" />
            {live.open.value ? "Events a second" : "Connecting"}
          </p>
          <p class="pulse-number">{p ? num(Math.round(p.per_second * 10) / 10) : "–"}</p>
        </div>
        <Spark values={rates} height={64} label={`Events a second over the last ${plural(rates.length * 2, "second")}`} />
      </div>
      <dl class="stats">
        <Stat label="People" value={p ? num(p.people) : "–"} />
        <Stat label="Events kept" value={p ? compact(p.rows) : "–"} />
        <Stat label="Sent, last minute" value={p ? num(p.sent_minute) : "–"} />
        <Stat label="Waiting to be sent" value={p ? num(p.waiting) : "–"} />
        <Stat label="Problems" value={p ? p.problems === 0 ? "None" : <a href="/health">{num(p.problems)}</a> : "–"} tone={p && p.problems > 0 ? "bad" : undefined} />
      </dl>
    </div>
  );
}

function Arrivals({ live }: { live: Stream }) {
  const hits = live.hits.value;
  const p = publisher.value!;
  return (
    <Panel title="Arrivals" note={hits.length ? "newest first" : undefined} flush>
      {hits.length === 0 ? (
        p.rows === 0 ? (
          <Empty icon="live" title="Nobody has arrived yet">
            <p>Point an app at the address of the listener “collect”, with the publisher's key. The first event shows here within a second:</p>
            <pre class="example">{`curl -u KEY: https://collect.example.com/v1/track \\
  -H 'Content-Type: application/json' \\
  -d '{"userId": "ann", "event": "Product Viewed"}'`}</pre>
            <p>
              Apps with an SDK of another product need one line changed: <a href={link("developers")}>which one</a>. History comes in by <code>cloister import events</code>.
            </p>
          </Empty>
        ) : live.open.value ? (
          <Empty icon="live" title="Quiet at the moment">
            <p>{plural(p.rows, "event")} are kept. The next one that arrives shows here within a second.</p>
          </Empty>
        ) : (
          <Skeleton rows={8} />
        )
      ) : (
        <ol class="arrivals">
          {hits.map((h) => (
            <Row key={h.key} hit={h} />
          ))}
        </ol>
      )}
    </Panel>
  );
}

function Row({ hit }: { hit: Arrival }) {
  const who = hit.identity || `Person ${hit.person}`;
  const props = Object.entries(hit.props ?? {}).filter(([, v]) => v !== "" && !isId(v)).slice(0, 4);
  return (
    <li class={isOwn(hit.event) ? "own" : undefined}>
      <time dateTime={hit.ts}>{clock(hit.ts)}</time>
      <Niche of={who} />
      <span class="arrival-who">{hit.identity ? <a href={peopleLink(hit.identity)}>{who}</a> : who}</span>
      <span class="arrival-event">{hit.event}</span>
      <span class="arrival-props">
        {props.map(([k, v]) => (
          <span key={k}>
            <i>{k}</i> {value(v)}
          </span>
        ))}
      </span>
    </li>
  );
}

function Mix({ live }: { live: Stream }) {
  const counts = new Map<string, number>();
  const who = new Set<number>();
  for (const h of live.hits.value) {
    counts.set(h.event, (counts.get(h.event) ?? 0) + 1);
    who.add(h.person);
  }
  const rows = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 8).map(([name, value]) => ({ name, value }));
  return (
    <div class="live-side">
      <Panel title="In view" note={`${plural(who.size, "person", "people")}, ${plural(live.hits.value.length, "event")}`}>
        {rows.length ? <Bars rows={rows} label="Events in view, by name" /> : <p class="note">Counts by event show here as people arrive.</p>}
      </Panel>
      <Panel title="Ask about it">
        <ul class="next-steps">
          <li>
            <a href={link("incoming")}>What do apps send?</a>
            <span>Record by record, with what was not taken.</span>
          </li>
          <li>
            <a href={link("trends")}>How has it changed?</a>
            <span>Plot any event over time.</span>
          </li>
          <li>
            <a href={link("funnels")}>Where do people stop?</a>
            <span>Follow them from step to step.</span>
          </li>
          <li>
            <a href={link("campaigns/new")}>Write to them</a>
            <span>When they do something, or fail to.</span>
          </li>
        </ul>
      </Panel>
    </div>
  );
}
