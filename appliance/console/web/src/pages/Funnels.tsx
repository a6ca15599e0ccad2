// The funnel explorer.
import { useMemo, useState } from "preact/hooks";
import type { EventInfo, FunnelResult } from "../api/types";
import { EventPicker, FilterEditor, RangePicker, SegmentPicker, SplitPicker } from "../parts/Ask";
import { Button, Copy, IconButton } from "../parts/Button";
import { Check, Field, FieldError, Input, Mistakes, Select, useMistake } from "../parts/Field";
import { JsonView } from "../parts/Json";
import { Empty, Page, Panel } from "../parts/Page";
import { funnelJson, newFunnel, orders, readFunnel, units, type FunnelState } from "../question/funnel";
import { fromHash, newRef, toHash, type RefState } from "../question/shared";
import { intervals } from "../question/trend";
import { useQuestion } from "../question/useQuestion";
import { readHash, useAddress } from "../state/router";
import { api, can, publisher } from "../state/session";
import { FunnelAnswer } from "./FunnelAnswer";
import { firstRange, MayNotAsk, useSegments } from "./Trends";

// firstSteps guesses at a way that people go: looking, choosing, paying. Where
// the names say nothing, the most frequent events.
function firstSteps(events: EventInfo[]): string[] {
  const by = [...events].sort((a, b) => b.rows - a.rows);
  const way = [/view|search|browse/i, /cart|basket|select/i, /checkout|begin|started/i, /charged|purchas|paid|order|booked/i].map((r) => by.find((e) => r.test(e.name))?.name);
  const found = [...new Set(way.filter((n): n is string => n !== undefined))];
  return found.length > 1 ? found : by.slice(0, 3).map((e) => e.name);
}

function start(): FunnelState {
  const asked = fromHash(readHash());
  if (asked) return readFunnel(asked.question, asked.last);
  const p = publisher.value!;
  const s = newFunnel(firstSteps(p.events.filter((e) => !e.own)));
  s.range.last = firstRange();
  return s;
}

export function Funnels() {
  const [state, setState] = useState(start);
  const segments = useSegments();
  const question = useMemo(() => funnelJson(state), [state]);
  const complete = state.steps.every((s) => s.event !== "" || s.filter.raw !== undefined || s.filter.rows.length > 0);
  const asked = useQuestion<FunnelResult>(question, can("ask") && complete);
  useAddress(toHash(question, state.range), () => setState(start()));
  const set = (change: Partial<FunnelState>) => setState({ ...state, ...change });

  if (!can("ask")) return <MayNotAsk title="Funnels" />;
  if (publisher.value!.rows === 0) {
    return (
      <Page title="Funnels">
        <Empty icon="funnel" title="There is nobody to follow yet">
          <p>
            A funnel follows people from one event to the next. Point an app at this appliance, or bring history in with <code>cloister import events</code>.
          </p>
        </Empty>
      </Page>
    );
  }
  return (
    <Page title="Funnels" wide actions={<Copy text={() => location.href} label="Copy address" />}>
      <Mistakes.Provider value={asked.mistakes}>
        <div class="explorer">
          <form class="ask" aria-label="Question" onSubmit={(e) => e.preventDefault()}>
            <Steps state={state} set={set} />
            <Panel title="Rules">
              <Field label="Order" path="order">
                {(a) => <Select {...a} value={state.order} onValue={(order) => set({ order })} options={orders} />}
              </Field>
              <Window state={state} set={set} />
              <Field label="Count" path="count">
                {(a) => (
                  <Select {...a} value={state.count} onValue={(count) => set({ count })} options={[{ value: "people", label: "People, each once" }, { value: "attempts", label: "Attempts" }]} />
                )}
              </Field>
            </Panel>
            <Panel title="Over">
              <RangePicker value={state.range} onValue={(range) => set({ range })} />
              <Check checked={state.over !== ""} onChecked={(on) => set({ over: on ? "week" : "" })}>
                How it changed over time
              </Check>
              {state.over !== "" && <Select aria-label="By" value={state.over} onValue={(over) => set({ over })} options={intervals.filter((i) => i.value !== "all" && i.value !== "hour")} />}
            </Panel>
            <Panel title="For">
              <SegmentPicker value={state.segment} onValue={(segment) => set({ segment })} segments={segments} />
              <SplitPicker value={state.split} onValue={(split) => set({ split })} event={state.steps[0]!.event} />
            </Panel>
          </form>
          <div class="answer">
            <FunnelAnswer asked={asked} state={state} question={question} complete={complete} />
            <JsonView json={question} title="This question as JSON" note={`POST it to ${api("query")}, or give it to “cloister query --publisher ${publisher.value!.name}”: the answer is the same.`} />
          </div>
        </div>
      </Mistakes.Provider>
    </Page>
  );
}

function Window({ state, set }: { state: FunnelState; set: (c: Partial<FunnelState>) => void }) {
  const wrong = useMistake("window", true);
  return (
    <div class="field">
      <span class="label">Within</span>
      <div class="pair">
        <Input type="number" min="1" class="short" aria-label="Length of the window" value={state.window.n} onValue={(v) => set({ window: { ...state.window, n: Math.max(1, Math.round(Number(v)) || 1) } })} />
        <Select aria-label="Unit of the window" value={state.window.unit} onValue={(unit) => set({ window: { ...state.window, unit } })} options={units} />
      </div>
      <p class="field-hint">From the first step to the last.</p>
      {wrong && <FieldError>{wrong}</FieldError>}
    </div>
  );
}

function Steps({ state, set }: { state: FunnelState; set: (c: Partial<FunnelState>) => void }) {
  const steps = state.steps;
  const change = (i: number, r: RefState) => set({ steps: steps.map((x, j) => (j === i ? r : x)) });
  const swap = (i: number, j: number) => {
    const next = [...steps];
    [next[i], next[j]] = [next[j]!, next[i]!];
    set({ steps: next });
  };
  return (
    <Panel title="Steps">
      <ol class="steps-editor">
        {steps.map((s, i) => (
          <li key={i}>
            <span class="letter">{i + 1}</span>
            <div class="step-body">
              <EventPicker required value={s.event} onValue={(event) => change(i, { ...s, event })} label={`Event of step ${i + 1}`} path={`steps[${i}].event`} />
              <FilterEditor value={s.filter} onValue={(filter) => change(i, { ...s, filter })} event={s.event} path={`steps[${i}].filter`} />
            </div>
            <div class="step-tools">
              <IconButton small icon="up" label={`Move step ${i + 1} up`} disabled={i === 0} onClick={() => swap(i, i - 1)} />
              <IconButton small icon="down" label={`Move step ${i + 1} down`} disabled={i === steps.length - 1} onClick={() => swap(i, i + 1)} />
              <IconButton small icon="close" label={`Remove step ${i + 1}`} disabled={steps.length === 1} onClick={() => set({ steps: steps.filter((_, j) => j !== i) })} />
            </div>
          </li>
        ))}
      </ol>
      <Button small kind="quiet" icon="plus" disabled={steps.length >= 20} onClick={() => set({ steps: [...steps, newRef()] })}>
        Another step
      </Button>
    </Panel>
  );
}
