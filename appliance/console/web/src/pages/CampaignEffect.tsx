// What a campaign brought about: who did what it is for, against those who
// would have got the message and did not.
import type { Converted, Goal, Report, Revenue } from "../api/types";
import { LinkButton } from "../parts/Button";
import { num, percent } from "../parts/format";
import { Empty, Panel } from "../parts/Page";
import { Table } from "../parts/Table";
import { eventName, sayExtra, sayRevenue, sayVerdict, sayWindow, signed, span, tests } from "../question/effect";
import { can } from "../state/session";

export function EffectPanel({ r, edit }: { r: Report; edit: string }) {
  const title = "What it brought about";
  if (!r.goal || !r.converted) {
    return (
      <Panel title={title} flush>
        <Empty icon="campaign" title="This campaign has no goal" action={can("campaigns") && <LinkButton href={edit}>Set a goal</LinkButton>}>
          <p>Say what it should make people do, and it is counted here who did so after the message: also for the messages that are out already.</p>
        </Empty>
      </Panel>
    );
  }
  const v = sayVerdict(r.goal, r.converted);
  const compared = r.converted.target.people > 0 && r.converted.control.people > 0;
  return (
    <Panel title={title} note={`${eventName(r.goal)} within ${sayWindow(r.goal)} of the first message`} flush>
      <div class={`effect ${v.tone}`}>
        <h3>{v.title}</h3>
        <p>{v.text}</p>
        {compared && [sayExtra(r.converted), r.revenue && sayRevenue(r.goal, r.revenue)].filter(Boolean).map((x) => <p key={x as string}>{x}</p>)}
      </div>
      {r.converted.target.people > 0 && <Groups goal={r.goal} c={r.converted} m={r.revenue} />}
      {compared && <Figures c={r.converted} m={r.revenue} />}
      <p class="note pad">
        Everybody counts once, from their first message in the range; what they did may lie past its end.
        {compared && " The control group is drawn by lot from those who would have got the message, so the two differ by chance and by the message alone."}
      </p>
    </Panel>
  );
}

function Groups({ goal, c, m }: { goal: Goal; c: Converted; m: Revenue | null }) {
  const rows = [
    { name: "Written to", share: c.target, amount: m?.target },
    ...(c.control.people > 0 ? [{ name: "Control group", share: c.control, amount: m?.control }] : []),
  ];
  const amount = (of: "total" | "per_person") => (x: (typeof rows)[number]) => num(x.amount?.[of]);
  return (
    <Table
      label="What the people of each group did"
      rows={rows}
      rowKey={(x) => x.name}
      columns={[
        { head: "Group", cell: (x) => x.name },
        { head: "People", number: true, cell: (x) => num(x.share.people) },
        { head: "Did it", number: true, cell: (x) => num(x.share.converted) },
        { head: "Share", number: true, cell: (x) => percent(x.share.rate, 2) },
        { head: "Times", number: true, cell: (x) => num(x.share.events) },
        ...(m ? [{ head: goal.revenue!, number: true, cell: amount("total") }, { head: "A person", number: true, cell: amount("per_person") }] : []),
      ]}
    />
  );
}

// Figures are the numbers behind the sentences, for who wants to check them.
function Figures({ c, m }: { c: Converted; m: Revenue | null }) {
  const points = (d: number) => num(Math.round(d * 10_000) / 100);
  const of = (p: number | null) => (p === null ? "–" : p < 0.0001 ? "< 0.0001" : p.toPrecision(2));
  const rows = [
    { name: "Did it", x: c, difference: (d: number) => points(d), unit: " points" },
    ...(m ? [{ name: "Revenue a person", x: m, difference: (d: number) => num(d), unit: "" }] : []),
  ];
  return (
    <details class="effect-figures">
      <summary>Lift, intervals and p</summary>
      {rows.map((r) => (
        <dl class="pairs" key={r.name}>
          <div>
            <dt>{r.name}, lift</dt>
            <dd>
              {signed(r.x.lift, 1)}, 95 % interval {span(r.x.lift_interval, (n) => signed(n, 1))}
            </dd>
          </div>
          <div>
            <dt>Difference</dt>
            <dd>
              {r.x.difference === null ? "–" : r.difference(r.x.difference) + r.unit}, 95 % interval {span(r.x.difference_interval, r.difference)}
            </dd>
          </div>
          <div>
            <dt>p</dt>
            <dd>
              {of(r.x.p)}
              {r.x.test && `, ${tests[r.x.test] ?? r.x.test}`}
            </dd>
          </div>
        </dl>
      ))}
    </details>
  );
}
