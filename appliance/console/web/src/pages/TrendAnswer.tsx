// The answer to a trend: a plot, and the same numbers as a table.
import { useMemo, useState } from "preact/hooks";
import { ApiError } from "../api/client";
import type { Answer, Json, TrendResult, TrendSeries } from "../api/types";
import { Button } from "../parts/Button";
import { Choice } from "../parts/Field";
import { bucketName, dayOf, num, percent, plural, sentence, took, value, zone } from "../parts/format";
import { rangeJson } from "../question/shared";
import { Bars, Plot, type Line } from "../parts/Plot";
import { Empty, Notice, Panel, Skeleton, Stat } from "../parts/Page";
import { csv, download, Table, type Column } from "../parts/Table";
import { measures, takesProperty, type TrendState } from "../question/trend";
import type { Asked } from "../question/useQuestion";

export function AskError({ error }: { error: unknown }) {
  if (!(error instanceof ApiError)) return <Notice kind="bad" title="No answer">{String((error as Error).message ?? error)}</Notice>;
  const titles: { [code: string]: string } = { not_yet: "This cannot be asked yet", budget: "This question is too big for one answer", not_allowed: "Your role does not allow this question" };
  return (
    <Notice kind={error.code === "not_yet" ? "warn" : "bad"} title={titles[error.code] ?? "This question is not complete"}>
      {error.path && <code>{error.path}</code>} {sentence(error.message)}
    </Notice>
  );
}

export function Foot({ answer, asking, open }: { answer: Answer<unknown> | null; asking: boolean; open?: string }) {
  return (
    <p class="answer-foot" role="status" aria-live="polite">
      {asking ? (
        "Counting…"
      ) : answer ? (
        <>
          Exact, nothing is sampled. {plural(answer.rows_read, "row")} read in {took(answer.took_ms)}. Days are those of {zone()}.{open && ` The last ${open} is not over yet.`}
        </>
      ) : null}
    </p>
  );
}

function seriesName(s: TrendSeries, state: TrendState): string {
  const split = s.breakdown?.length ? s.breakdown.map((v: Json) => value(v)).join(", ") : "";
  if (s.name === "formula") return split ? `${state.formula}: ${split}` : state.formula;
  const i = s.name.length === 1 ? s.name.charCodeAt(0) - 65 : -1;
  const of = state.series[i];
  if (!of) return split || s.name;
  const m = measures.find((x) => x.value === of.measure);
  const event = of.event || "Any event";
  const base = takesProperty(of.measure) ? `${m!.label} ${of.property}, ${event}` : of.measure === "count" ? event : `${event}, ${m?.label.toLowerCase() ?? of.measure}`;
  if (!split) return base;
  return state.series.length > 1 ? `${s.name}: ${split}` : split;
}

export function TrendAnswer({ asked, state }: { asked: Asked<TrendResult>; state: TrendState }) {
  const [view, setView] = useState("plot");
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const r = asked.answer?.result;

  const named = useMemo(() => (r?.series ?? []).map((s, i) => ({ s, label: seriesName(s, state), colour: i + 1 })), [r]);
  const lines = useMemo<Line[]>(
    () =>
      named
        .filter((n) => !hidden.has(n.label))
        .flatMap((n) => [
          { label: n.label, values: n.s.values, colour: n.colour },
          ...(n.s.previous?.length ? [{ label: n.label + ", before", values: n.s.previous.slice(0, n.s.values.length), colour: n.colour, dashed: true }] : []),
        ]),
    [named, hidden],
  );

  if (asked.error) return <AskError error={asked.error} />;
  if (!r) {
    return (
      <Panel>
        {asked.asking ? (
          <Skeleton rows={5} tall />
        ) : (
          <Empty icon="trends" title="One thing is missing">
            <p>Choose the property to measure, on the left.</p>
          </Empty>
        )}
      </Panel>
    );
  }
  const { to } = rangeJson(state.range);
  const open = state.interval !== "all" && (!to || to >= dayOf(new Date())) ? state.interval : undefined;
  const nothing = named.every((n) => n.s.total === 0 && n.s.values.every((v) => v === 0));
  const save = () =>
    download(
      "trend.csv",
      csv(
        ["bucket", ...named.map((n) => n.label)],
        r.buckets.map((b, i) => [b, ...named.map((n) => n.s.values[i] ?? null)]),
      ),
    );
  return (
    <Panel
      flush
      class={asked.asking ? "stale" : undefined}
      title={named.length === 1 ? named[0]!.label : plural(named.length, "line")}
      actions={
        <>
          <Choice label="Show as" value={view} onValue={setView} options={[{ value: "plot", label: "Plot" }, { value: "table", label: "Table" }]} />
          <Button small kind="quiet" onClick={save}>
            CSV
          </Button>
        </>
      }
    >
      {(named.length === 1 || (named.length <= 4 && named.some((n) => n.s.previous?.length))) && <Totals named={named} />}
      {nothing ? (
        <Empty icon="trends" title="Nothing of this kind in this range">
          <p>Choose a longer range, another event, or fewer conditions.</p>
        </Empty>
      ) : view === "table" ? (
        <Twin result={r} named={named} interval={state.interval} />
      ) : r.buckets.length === 1 && named.length > 1 ? (
        <div class="pad">
          <Bars label="Totals" rows={named.map((n) => ({ name: n.label, value: n.s.total, colour: n.colour }))} />
        </div>
      ) : (
        <Plot buckets={r.buckets[0] === "all" ? [] : r.buckets} interval={state.interval} lines={lines} height={340} kind={r.buckets.length === 1 ? "bar" : "line"} label={`${named.map((n) => n.label).join(", ")}, by ${state.interval}. The table has the same numbers.`} />
      )}
      {named.length > 1 && view === "plot" && r.buckets.length > 1 && (
        <ul class="legend" aria-label="Lines">
          {named.map((n) => (
            <li key={n.label}>
              <button
                type="button"
                aria-pressed={!hidden.has(n.label)}
                onClick={() => {
                  const next = new Set(hidden);
                  if (!next.delete(n.label)) next.add(n.label);
                  setHidden(next);
                }}
              >
                <i class={`dot c${((n.colour - 1) % 8) + 1}`} />
                <span>{n.label}</span>
                <b>{num(n.s.total)}</b>
              </button>
            </li>
          ))}
        </ul>
      )}
      {named.some((n) => n.s.previous?.length) && view === "plot" && <p class="note pad-x">Dashed: as many days just before.</p>}
      {!!r.other && <p class="note pad">{plural(r.other, "smaller value is", "smaller values are")} left out.</p>}
      <Foot answer={asked.answer} asking={asked.asking} open={open} />
    </Panel>
  );
}

interface Named {
  s: TrendSeries;
  label: string;
  colour: number;
}

function Totals({ named }: { named: Named[] }) {
  return (
    <dl class="stats inset">
      {named.map((n) => {
        const before = n.s.previous?.length ? n.s.previous.reduce((a, b) => a + b, 0) : null;
        const now = n.s.values.reduce((a, b) => a + b, 0);
        const change = before ? (now - before) / before : null;
        return (
          <Stat
            key={n.label}
            label={named.length === 1 ? "In all" : n.label}
            value={num(n.s.total)}
            note={change === null ? undefined : <span class={change < 0 ? "fall" : "rise"}>{(change > 0 ? "+" : "") + percent(change)} against the period before</span>}
          />
        );
      })}
    </dl>
  );
}

function Twin({ result, named, interval }: { result: TrendResult; named: Named[]; interval: string }) {
  const rows = result.buckets.map((b, i) => ({ b, i }));
  const columns: Column<{ b: string; i: number }>[] = [
    { head: interval === "all" ? "Range" : "Time", cell: (x) => bucketName(x.b, interval) },
    ...named.map((n) => ({ head: n.label, number: true, cell: (x: { i: number }) => num(n.s.values[x.i]) })),
    ...named.filter((n) => n.s.previous?.length).map((n) => ({ head: n.label + ", before", number: true, cell: (x: { i: number }) => num(n.s.previous![x.i]) })),
  ];
  return <Table rows={rows} columns={columns} label="The numbers of this plot" more={120} />;
}
