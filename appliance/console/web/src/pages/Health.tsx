// What is wrong right now, and what to do about it.
import { get } from "../api/client";
import type { Problem } from "../api/types";
import { ago, dateTime, zone } from "../parts/format";
import { Icon } from "../parts/Icon";
import { Badge, Empty, Page, Show } from "../parts/Page";
import { useLoad } from "../state/load";
import { me } from "../state/session";

export function Health() {
  const loaded = useLoad((s) => get<{ problems: Problem[] | null }>("/v1/health", s), [], { every: 5 });
  return (
    <Page title="Health" lead={<p>What is wrong right now on {me.value?.appliance.name || "this appliance"}, worst first. What is mended disappears by itself. Times are in {zone()}.</p>}>
      <Show of={loaded} what="The state of health">
        {(d) =>
          !d.problems?.length ? (
            <Empty icon="check" title="Nothing is wrong">
              <p>Disk, journal, connectors and background work are watched all the time. If one of them needs you, it says so here, with what to do.</p>
            </Empty>
          ) : (
            <ul class="problems">
              {d.problems.map((p) => (
                <li key={p.code + p.subject} class={`panel problem ${p.severity}`}>
                  <span class="problem-icon" aria-hidden="true">
                    <Icon name="warn" />
                  </span>
                  <div>
                    <h2>{p.summary}</h2>
                    {p.hint && <p class="problem-hint">{p.hint}</p>}
                    <p class="note">
                      <code>{p.code}</code>
                      {p.subject && <> on {p.subject}</>}, since <time dateTime={p.since} title={p.since}>{dateTime(p.since)}</time> ({ago(p.since)})
                    </p>
                  </div>
                  <Badge state={p.severity} />
                </li>
              ))}
            </ul>
          )
        }
      </Show>
    </Page>
  );
}
