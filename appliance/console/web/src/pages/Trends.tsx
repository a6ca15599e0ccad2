// The trend explorer: a question on the left, its answer on the right, and the
// question itself in the address.
import { useMemo, useState } from "preact/hooks";
import type { SavedSegment, TrendResult } from "../api/types";
import { get } from "../api/client";
import { EventPicker, FilterEditor, keysKnown, RangePicker, SegmentPicker, SplitPicker } from "../parts/Ask";
import { Button, Copy, IconButton } from "../parts/Button";
import { Combo } from "../parts/Combo";
import { Check, Field, FieldError, Input, Mistakes, Select, useMistake } from "../parts/Field";
import { JsonView } from "../parts/Json";
import { Empty, Notice, Page, Panel } from "../parts/Page";
import { newRef, fromHash, toHash } from "../question/shared";
import { intervals, letter, measures, newTrend, readTrend, ready, takesProperty, trendJson, type SeriesState, type TrendState } from "../question/trend";
import { useQuestion } from "../question/useQuestion";
import { useLoad } from "../state/load";
import { readHash, useAddress } from "../state/router";
import { api, can, publisher } from "../state/session";
import { TrendAnswer } from "./TrendAnswer";

export function useSegments(): string[] {
  const loaded = useLoad((s) => get<{ segments: SavedSegment[] | null }>(api("segments"), s), []);
  return (loaded.data?.segments ?? []).map((x) => x.name);
}

// span gives the time in which the apps' events lie.
function span(): { first: number; last: number } {
  const own = publisher.value!.events.filter((e) => !e.own && e.first && e.last);
  return { first: Math.min(...own.map((e) => Date.parse(e.first!))), last: Math.max(...own.map((e) => Date.parse(e.last!))) };
}

// firstRange is the last thirty days, or everything where these would hold
// nothing, as after an import of history, or more than there is.
export function firstRange(): string {
  const from = Date.now() - 30 * 86_400_000;
  const { first, last } = span();
  return last < from || first > from ? "" : "30d";
}

function firstInterval(range: string): string {
  const { first, last } = span();
  const days = range ? 30 : (last - first) / 86_400_000;
  return days <= 3 ? "hour" : days <= 120 ? "day" : "week";
}

function start(): TrendState {
  const asked = fromHash(readHash());
  if (asked) return readTrend(asked.question, asked.last);
  const p = publisher.value!;
  const top = p.events.filter((e) => !e.own).sort((a, b) => b.rows - a.rows)[0];
  const s = newTrend(top?.name ?? "");
  s.range.last = firstRange();
  s.interval = firstInterval(s.range.last);
  return s;
}

export function Trends() {
  const [state, setState] = useState(start);
  const segments = useSegments();
  const question = useMemo(() => trendJson(state), [state]);
  const asked = useQuestion<TrendResult>(question, can("ask") && ready(state));
  useAddress(toHash(question, state.range), () => setState(start()));
  const set = (change: Partial<TrendState>) => setState({ ...state, ...change });

  if (!can("ask")) return <MayNotAsk title="Trends" />;
  if (publisher.value!.rows === 0) {
    return (
      <Page title="Trends">
        <Empty icon="trends" title="There is nothing to plot yet">
          <p>
            Trends need events. Point an app at this appliance, or bring history in with <code>cloister import events</code>.
          </p>
        </Empty>
      </Page>
    );
  }
  return (
    <Page title="Trends" wide actions={<Copy text={() => location.href} label="Copy address" />}>
      <Mistakes.Provider value={asked.mistakes}>
        <div class="explorer">
          <form class="ask" aria-label="Question" onSubmit={(e) => e.preventDefault()}>
            <SeriesList state={state} set={set} />
            <Panel title="Over">
              <RangePicker value={state.range} onValue={(range) => set({ range })} />
              <Field label="By">{(a) => <Select {...a} value={state.interval} onValue={(interval) => set({ interval })} options={intervals} />}</Field>
              <Check checked={state.compare} onChecked={(compare) => set({ compare })}>
                Beside the period before
              </Check>
              <Check checked={state.cumulative} onChecked={(cumulative) => set({ cumulative })}>
                As a running total
              </Check>
              {state.compare && state.range.last === "" && <p class="field-hint">All time has no period before it: choose a range.</p>}
            </Panel>
            <Panel title="For">
              <SegmentPicker value={state.segment} onValue={(segment) => set({ segment })} segments={segments} />
              <SplitPicker value={state.split} onValue={(split) => set({ split })} event={state.series[0]!.event} />
              {state.split && (
                <Field label="Show the largest">
                  {(a) => <Select {...a} value={String(state.splitLimit)} onValue={(n) => set({ splitLimit: Number(n) })} options={["4", "8", "12", "25"].map((value) => ({ value, label: value }))} />}
                </Field>
              )}
            </Panel>
          </form>
          <div class="answer">
            <TrendAnswer asked={asked} state={state} />
            <JsonView json={question} title="This question as JSON" note={`POST it to ${api("query")}, or give it to “cloister query --publisher ${publisher.value!.name}”: the answer is the same.`} />
          </div>
        </div>
      </Mistakes.Provider>
    </Page>
  );
}

export function MayNotAsk({ title }: { title: string }) {
  return (
    <Page title={title}>
      <Notice title="Your role sees what was done, and asks no questions about people.">An admin can give you the role analyst.</Notice>
    </Page>
  );
}

function SeriesList({ state, set }: { state: TrendState; set: (c: Partial<TrendState>) => void }) {
  const change = (i: number, s: SeriesState) => set({ series: state.series.map((x, j) => (j === i ? s : x)) });
  const several = state.series.length > 1;
  const formula = useMistake("formula");
  return (
    <Panel title="Show">
      {state.series.map((s, i) => (
        <fieldset class="series" key={i}>
          <legend class="hidden">Series {letter(i)}</legend>
          <div class="series-head">
            <span class={`letter c${(i % 8) + 1}`}>{letter(i)}</span>
            <Select aria-label="Measure" value={s.measure} onValue={(measure) => change(i, { ...s, measure })} options={measures} />
            {several && <IconButton small icon="close" label={`Remove series ${letter(i)}`} onClick={() => set({ series: state.series.filter((_, j) => j !== i) })} />}
          </div>
          {takesProperty(s.measure) && (
            <div class="series-part">
              <Combo value={s.property} onValue={(property) => change(i, { ...s, property })} known={keysKnown(s.event, "event")} label="Property to measure" placeholder="Choose a property" />
            </div>
          )}
          <div class="series-part">
            <EventPicker value={s.event} onValue={(event) => change(i, { ...s, event })} label="Event" path={`series[${i}].event`} />
            <FilterEditor value={s.filter} onValue={(filter) => change(i, { ...s, filter })} event={s.event} path={`series[${i}].filter`} />
          </div>
        </fieldset>
      ))}
      <Button small kind="quiet" icon="plus" disabled={state.series.length >= 5} onClick={() => set({ series: [...state.series, { ...newRef(), measure: "count", property: "" }] })}>
        Another series
      </Button>
      {several && (
        <Field label="Formula" hint="Such as A / B * 100. It adds one more line.">
          {(a) => <Input {...a} value={state.formula} onValue={(f) => set({ formula: f })} placeholder="A / B" class="mono" />}
        </Field>
      )}
      {several && formula && <FieldError>{formula}</FieldError>}
    </Panel>
  );
}

