// How many a campaign to a group would reach, asked as an ordinary question.
import { useMemo } from "preact/hooks";
import type { Campaign, Json, SegmentResult } from "../api/types";
import { channel, num, plural } from "../parts/format";
import { Panel, Skeleton } from "../parts/Page";
import { everyone } from "../question/people";
import { useQuestion } from "../question/useQuestion";
import { can, publisher } from "../state/session";
import { AskError } from "./TrendAnswer";

export function Reach({ c }: { c: Campaign }) {
  const purpose = publisher.value?.purposes.find((p) => p.name === c.purpose);
  const [all, able] = useMemo(() => {
    const group: Json[] = [c.trigger.audience ?? everyone, ...(c.people ? [c.people] : [])];
    const may: Json[] = [...group, { reachable: c.channel }];
    if (purpose?.basis !== "contract") may.push({ consent: { purpose: c.purpose, channel: c.channel } });
    return [
      { kind: "segment", people: { all: group } },
      { kind: "segment", people: { all: may } },
    ];
  }, [c.trigger.audience, c.people, c.channel, c.purpose]);
  const ready = can("ask") && c.trigger.type === "once" && c.purpose !== "";
  const whole = useQuestion<SegmentResult>(all, ready);
  const reached = useQuestion<SegmentResult>(able, ready);
  if (!ready) return null;
  const n = whole.answer?.result.count;
  const m = reached.answer?.result.count;
  return (
    <Panel title="Reach, as of now" class={whole.asking && n !== undefined ? "stale" : undefined}>
      {whole.error || reached.error ? (
        <AskError error={whole.error ?? reached.error} />
      ) : n === undefined || m === undefined ? (
        <Skeleton rows={2} />
      ) : (
        <>
          <p class="big-number">{num(m)}</p>
          <p class="note">
            of {plural(n, "person", "people")} in the group can get it{purpose?.basis === "contract" ? `: an address for ${channel(c.channel)} is known.` : `: an address for ${channel(c.channel)} is known, and they agreed to ${purpose?.title || c.purpose}.`}
          </p>
          {!!c.control && c.class !== "transactional" && <p class="field-hint">About {num(Math.round((m * c.control) / 100))} of them are the control group and get nothing.</p>}
          {n > m && <p class="field-hint">The other {num(n - m)} are decided too and held, each with its reason. Caps and limits may hold more.</p>}
        </>
      )}
    </Panel>
  );
}
