// What a campaign brought about, against its control group, in words.
import type { Comparison, Converted, Goal, Revenue, Share } from "../api/types";
import { num, percent, plural } from "../parts/format";

// eventName is how a goal's event is called in a sentence.
export const eventName = (g: Goal) => (g.event === "any event" ? "anything" : g.event);

export function sayWindow(g: Goal): string {
  return g.window.n === 1 ? `1 ${g.window.unit}` : `${num(g.window.n)} ${g.window.unit}s`;
}

// sayChance says how often chance alone makes as large a difference.
export function sayChance(p: number): string {
  if (p < 0.001) return "in fewer than 1 of 1,000 cases";
  if (p < 0.01) return `in ${plural(Math.max(1, Math.round(p * 1000)), "case", "cases")} of 1,000`;
  return `in ${plural(Math.round(p * 100), "case", "cases")} of 100`;
}

export const clear = (c: Comparison) => c.p !== null && c.p < 0.05;

// signed writes a part of something with its sign.
export function signed(fraction: number | null | undefined, digits = 0): string {
  if (fraction === null || fraction === undefined) return "–";
  return (fraction > 0 ? "+" : "") + percent(fraction, Math.abs(fraction) < 0.1 ? Math.max(digits, 1) : digits);
}

// span writes an interval; an end that there is none of is left open.
export function span(ends: [number | null, number | null] | null, write: (n: number) => string): string {
  if (!ends || (ends[0] === null && ends[1] === null)) return "not known";
  if (ends[1] === null) return `${write(ends[0]!)} or more`;
  if (ends[0] === null) return `${write(ends[1])} or less`;
  return `${write(ends[0])} to ${write(ends[1])}`;
}

export interface Verdict {
  tone: "good" | "bad" | "open";
  title: string;
  text: string;
}

// sayVerdict is the answer to the marketer's question: did it do anything?
export function sayVerdict(g: Goal, c: Converted): Verdict {
  const { target, control } = c;
  const share = (s: Share) => `${percent(s.rate)} (${num(s.converted)} of ${num(s.people)})`;
  if (target.people === 0) return { tone: "open", title: "Nobody to follow yet", text: "In this range nobody got a message." };
  if (control.people === 0) {
    return {
      tone: "open",
      title: `${percent(target.rate)} did it`,
      text: `${num(target.converted)} of ${plural(target.people, "person", "people")} did ${eventName(g)} within ${sayWindow(g)}. How many would have done so without the message is not known: there is no control group in this range.`,
    };
  }
  const both = `${share(target)} of those written to did ${eventName(g)} within ${sayWindow(g)}, and ${share(control)} of the control group.`;
  if (!clear(c)) {
    const chance = c.p === null ? "" : ` A difference like this comes about by chance alone ${sayChance(c.p)}.`;
    return { tone: "open", title: "No clear difference", text: `${both}${chance} That does not show that the campaign does nothing: with more people a small difference could still come out.` };
  }
  const more = c.difference! > 0;
  const lift = c.lift === null ? "" : ` That is ${percent(Math.abs(c.lift), 0)} ${more ? "more" : "fewer"}; the true figure lies, most likely, between ${span(c.lift_interval, (n) => signed(n)).replace(" to ", " and ")}.`;
  return {
    tone: more ? "good" : "bad",
    title: more ? "It makes a difference" : "It does harm",
    text: `${both}${lift} Chance alone makes as large a difference ${sayChance(c.p!)}.`,
  };
}

// sayExtra is how many people the campaign won or lost, of those written to.
export function sayExtra(c: Converted): string {
  if (!clear(c) || c.difference === null) return "";
  const people = (d: number) => num(Math.round(d * c.target.people));
  const n = Math.round(Math.abs(c.difference) * c.target.people);
  return `About ${plural(n, "person", "people")} ${c.difference > 0 ? "did it who would not have without the message" : "did not do it who would have without the message"} (${span(c.difference_interval, people)}).`;
}

// sayRevenue compares what a person brought in.
export function sayRevenue(g: Goal, r: Revenue): string {
  const each = `${g.revenue}: ${num(r.target.per_person)} a person written to, ${num(r.control.per_person)} a person of the control group.`;
  if (r.target.people === 0 || r.control.people === 0) return "";
  if (r.p === null) return `${each} There are too few amounts to say more.`;
  if (!clear(r)) return `${each} No clear difference: chance alone makes one like this ${sayChance(r.p)}.`;
  const money = (d: number) => num(Math.round(d * r.target.people));
  return `${each} Over everybody written to that is about ${money(r.difference!)} ${r.difference! > 0 ? "more" : "less"} than without the campaign (${span(r.difference_interval, money)}).`;
}

// tests are named as somebody finds them in a book.
export const tests: { [test: string]: string } = { score: "two-proportion z test", fisher: "Fisher's exact test", welch: "Welch's t test" };
