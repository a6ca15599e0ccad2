// The answer to a funnel: how many reached each step, where they stopped, and
// who they are.
import { useMemo, useState } from "preact/hooks";
import { api, can, link } from "../state/session";
import { explain, post } from "../api/client";
import type { Answer, FunnelResult, FunnelStep, Json } from "../api/types";
import { Button, LinkButton } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Choice } from "../parts/Field";
import { bucketName, num, percent, plural, span, value } from "../parts/format";
import { Plot } from "../parts/Plot";
import { Empty, Niche, Notice, Panel, Skeleton } from "../parts/Page";
import { peopleLink } from "../parts/Shell";
import { csv, download, Table } from "../parts/Table";
import type { FunnelState } from "../question/funnel";
import type { Asked } from "../question/useQuestion";
import { useLoad } from "../state/load";
import { AskError, Foot } from "./TrendAnswer";

type Question = { [k: string]: Json };

export function FunnelAnswer({ asked, state, question, complete }: { asked: Asked<FunnelResult>; state: FunnelState; question: Question; complete: boolean }) {
  const [view, setView] = useState("steps");
  const [list, setList] = useState<{ step: number; dropped: boolean } | null>(null);
  const r = asked.answer?.result;
  if (asked.error) return <AskError error={asked.error} />;
  if (!r) {
    return (
      <Panel>
        {complete && asked.asking ? (
          <Skeleton rows={5} tall />
        ) : (
          <Empty icon="funnel" title="Choose an event for each step">
            <p>The answer shows as soon as every step has one.</p>
          </Empty>
        )}
      </Panel>
    );
  }
  const steps = r.steps;
  const entered = steps[0]?.people ?? 0;
  const last = steps[steps.length - 1];
  return (
    <>
      <Panel
        flush
        class={asked.asking ? "stale" : undefined}
        title={`${percent(last?.conversion)} complete all ${plural(steps.length, "step")}`}
        actions={
          <>
            <Choice label="Show as" value={view} onValue={setView} options={[{ value: "steps", label: "Steps" }, { value: "table", label: "Table" }]} />
            <Button small kind="quiet" onClick={() => download("funnel.csv", csv(["step", "name", "people", "conversion", "step_conversion", "median_seconds"], steps.map((s, i) => [i + 1, s.name, s.people, s.conversion, s.step_conversion, s.median_seconds])))}>
              CSV
            </Button>
          </>
        }
      >
        {entered === 0 ? (
          <Empty icon="funnel" title="Nobody started in this range">
            <p>Choose a longer range, or an earlier event as the first step.</p>
          </Empty>
        ) : view === "steps" ? (
          <StepBars steps={steps} state={state} onList={can("people") ? (step, dropped) => setList({ step, dropped }) : undefined} />
        ) : (
          <StepTable steps={steps} />
        )}
        <Foot answer={asked.answer} asking={asked.asking} />
      </Panel>
      {r.breakdown && r.breakdown.length > 0 && <Breakdown rows={r.breakdown} by={state.split?.property ?? ""} />}
      {r.over_time && r.over_time.length > 0 && <OverTime rows={r.over_time} interval={state.over || "week"} />}
      {list && <PeopleList question={question} of={list} name={steps[list.step - 1]?.name ?? ""} close={() => setList(null)} />}
    </>
  );
}

function StepBars({ steps, state, onList }: { steps: FunnelStep[]; state: FunnelState; onList?: (step: number, dropped: boolean) => void }) {
  const top = steps[0]!.people || 1;
  const noun = state.count === "attempts" ? "attempts" : "people";
  return (
    <ol class="funnel">
      {steps.map((s, i) => {
        const dropped = i > 0 ? steps[i - 1]!.people - s.people : 0;
        return (
          <li key={i}>
            <div class="funnel-name">
              <span class="letter">{i + 1}</span>
              <b>{s.name}</b>
            </div>
            <div class="funnel-track" aria-hidden="true">
              {i > 0 && <span class="funnel-lost" style={{ width: `${(steps[i - 1]!.people / top) * 100}%` }} />}
              <span class="funnel-kept" style={{ width: `${(s.people / top) * 100}%` }} />
            </div>
            <p class="funnel-figures">
              <b>{num(s.people)}</b> {noun}
              <span>{percent(s.conversion)} of all</span>
              {i > 0 && <span>{percent(s.step_conversion)} from the step before</span>}
              {i > 0 && s.median_seconds !== null && <span title="Half of the people took less">median {span(s.median_seconds)}</span>}
            </p>
            <p class="funnel-tools">
              {i > 0 && dropped > 0 && <span class="drop">{num(dropped)} stopped before this</span>}
              {onList && i > 0 && dropped > 0 && (
                <Button small kind="quiet" onClick={() => onList(i + 1, true)}>
                  Who stopped
                </Button>
              )}
              {onList && s.people > 0 && (
                <Button small kind="quiet" onClick={() => onList(i + 1, false)}>
                  Who got here
                </Button>
              )}
            </p>
          </li>
        );
      })}
    </ol>
  );
}

function StepTable({ steps }: { steps: FunnelStep[] }) {
  return (
    <Table
      label="Steps of this funnel"
      rows={steps.map((s, i) => ({ ...s, i }))}
      columns={[
        { head: "Step", cell: (s) => `${s.i + 1}. ${s.name}` },
        { head: "Reached", number: true, cell: (s) => num(s.people) },
        { head: "Of all", number: true, cell: (s) => percent(s.conversion) },
        { head: "Of the step before", number: true, cell: (s) => (s.i ? percent(s.step_conversion) : "–") },
        { head: "Median time", number: true, cell: (s) => span(s.median_seconds) },
        { head: "Mean time", number: true, cell: (s) => span(s.mean_seconds) },
      ]}
    />
  );
}

function Breakdown({ rows, by }: { rows: NonNullable<FunnelResult["breakdown"]>; by: string }) {
  const n = rows[0]!.steps.length;
  return (
    <Panel title={`By ${by}`} flush>
      <Table
        label={`Funnel by ${by}`}
        rows={rows}
        columns={[
          { head: by || "Value", cell: (r) => r.value.map(value).join(", ") },
          ...Array.from({ length: n }, (_, i) => ({ head: `${i + 1}. ${rows[0]!.steps[i]!.name}`, number: true, cell: (r: (typeof rows)[number]) => num(r.steps[i]?.people) })),
          { head: "Complete", number: true, cell: (r) => <Meter of={r.steps[n - 1]?.conversion ?? 0} /> },
        ]}
      />
    </Panel>
  );
}

export function Meter({ of }: { of: number }) {
  return (
    <span class="meter">
      <span class="meter-track" aria-hidden="true">
        <span style={{ width: `${Math.min(1, of) * 100}%` }} />
      </span>
      {percent(of)}
    </span>
  );
}

function OverTime({ rows, interval }: { rows: NonNullable<FunnelResult["over_time"]>; interval: string }) {
  const [table, setTable] = useState("plot");
  const buckets = useMemo(() => rows.map((r) => r.bucket), [rows]);
  const lines = useMemo(() => [{ label: "Complete", values: rows.map((r) => (r.entered ? (r.converted / r.entered) * 100 : 0)), colour: 1 }], [rows]);
  return (
    <Panel title="Over time" note="by when people started" flush actions={<Choice label="Show as" value={table} onValue={setTable} options={[{ value: "plot", label: "Plot" }, { value: "table", label: "Table" }]} />}>
      {table === "plot" ? (
        <Plot buckets={buckets} interval={interval} lines={lines} height={240} format={(n) => percent(n / 100)} label={`Share that completes, by ${interval}. The table has the same numbers.`} />
      ) : (
        <Table
          label="Completion over time"
          rows={rows}
          columns={[
            { head: "Started", cell: (r) => bucketName(r.bucket, interval) },
            { head: "People", number: true, cell: (r) => num(r.entered) },
            { head: "Completed", number: true, cell: (r) => num(r.converted) },
            { head: "Share", number: true, cell: (r) => percent(r.entered ? r.converted / r.entered : 0) },
          ]}
        />
      )}
    </Panel>
  );
}

function PeopleList({ question, of, name, close }: { question: Question; of: { step: number; dropped: boolean }; name: string; close: () => void }) {
  const { over_time: _o, breakdown: _b, ...rest } = question;
  const loaded = useLoad((s) => post<Answer<FunnelResult>>(api("query"), { ...rest, list: { ...of, limit: 500 } }, s), []);
  const people = loaded.data?.result.people ?? [];
  const segment = { funnel: Object.fromEntries(Object.entries(rest).filter(([k]) => k !== "kind" && k !== "people")), step: of.step, dropped: of.dropped };
  return (
    <Dialog title={of.dropped ? `Stopped before step ${of.step}, ${name}` : `Reached step ${of.step}, ${name}`} close={close} class="tall">
      <div class="dialog-body">
        {loaded.error ? (
          <Notice kind="bad">{explain(loaded.error)}</Notice>
        ) : !loaded.data ? (
          <Skeleton rows={6} />
        ) : people.length === 0 ? (
          <p>Nobody.</p>
        ) : (
          <ul class="people-list">
            {people.map((id) => (
              <li key={id}>
                <a href={peopleLink(id)} onClick={close}>
                  <Niche of={id} />
                  {id}
                </a>
              </li>
            ))}
          </ul>
        )}
      </div>
      <footer class="dialog-foot">
        {people.length === 500 && <span class="note">The first 500.</span>}
        <Button onClick={() => download("people.csv", csv(["identity"], people.map((p) => [p])))} disabled={people.length === 0}>
          CSV
        </Button>
        {can("campaigns") && (
          <LinkButton kind="primary" href={link("segments/new") + "#people=" + encodeURIComponent(JSON.stringify(segment))}>
            Keep as a segment
          </LinkButton>
        )}
      </footer>
    </Dialog>
  );
}
