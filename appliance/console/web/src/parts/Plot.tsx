// A plot over time on uPlot. It is never alone: whoever draws it offers the
// same numbers as a table.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { dark } from "../state/theme";
import { bucketName, compact, num, zone } from "./format";

export interface Line {
  label: string;
  values: (number | null)[];
  colour: number; // 1 to 8
  dashed?: boolean;
  of?: string; // of which line this is the earlier period
}

interface Props {
  buckets: string[];
  interval: string;
  lines: Line[];
  label: string;
  height?: number;
  kind?: "line" | "bar";
  format?: (n: number) => string;
}

const colour = (i: number) => css(`--c${((i - 1) % 8) + 1}`);
const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// seconds places a bucket on the axis: days at midnight UTC, shown in UTC, so
// that no zone shifts them; instants as they are, shown in the publisher's zone.
function seconds(bucket: string): number {
  return Date.parse(bucket.length > 10 ? bucket : bucket + "T00:00:00Z") / 1000;
}

export function Plot({ buckets, interval, lines, label, height = 300, kind = "line", format = num }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [tip, setTip] = useState<{ i: number; x: number; right: boolean } | null>(null);
  const isDark = dark.value;

  useLayoutEffect(() => {
    const host = box.current;
    if (!host || buckets.length === 0) return;
    const fine = buckets[0]!.length > 10;
    const tz = fine ? zone() : "Etc/UTC";
    const one = buckets.length === 1;
    const gap = buckets.length > 1 ? seconds(buckets[1]!) - seconds(buckets[0]!) : 86_400;
    const plot = new uPlot(
      {
        width: host.clientWidth,
        height: host.clientWidth < 480 ? Math.min(height, 240) : height,
        padding: [12, 28, 0, 0],
        tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), tz),
        legend: { show: false },
        cursor: {
          x: true,
          y: false,
          drag: { x: false, y: false },
          points: { size: 9, width: 2, fill: () => css("--surface"), stroke: (u, i) => (u.series[i]?.stroke as () => string)() },
        },
        scales: {
          x: { time: true, range: one || kind === "bar" ? (_u, lo, hi) => [lo - gap / 1.6, hi + gap / 1.6] : undefined },
          y: { range: (_u, lo, hi) => [Math.min(0, lo), hi <= 0 && lo >= 0 ? 1 : hi * 1.06] },
        },
        axes: [
          { stroke: () => css("--ink-3"), grid: { show: false }, ticks: { stroke: () => css("--line"), size: 5 }, font: axisFont(), space: 72, values: (_u, splits, _axis, _space, step) => axisTimes(splits, step, tz) },
          { stroke: () => css("--ink-3"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { show: false }, font: axisFont(), size: 52, space: 44, values: (_u, v) => v.map((n) => (n === null ? "" : compact(n))) },
        ],
        series: [
          {},
          ...lines.map((l, i): uPlot.Series => {
            const stroke = () => colour(l.colour);
            const s: uPlot.Series = { label: l.label, stroke, width: l.dashed ? 1.5 : 2, points: { show: one || (buckets.length < 32 && !l.dashed), size: 5, fill: stroke } };
            if (l.dashed) s.dash = [4, 4];
            if (kind === "bar") {
              s.fill = () => colour(l.colour);
              s.points = { show: false };
              s.paths = uPlot.paths.bars!({ size: [0.8 / lines.length, 28], align: lines.length === 1 ? 0 : i < lines.length / 2 ? -1 : 1, radius: 0.08 });
            } else if (lines.length === 1) {
              s.fill = () => colour(l.colour) + "1c";
            }
            return s;
          }),
        ],
        hooks: {
          setCursor: [
            (u) => {
              const i = u.cursor.idx;
              if (i == null || (u.cursor.left ?? -1) < 0) return setTip(null);
              const x = u.valToPos(u.data[0][i]!, "x") + u.over.offsetLeft;
              setTip({ i, x, right: x > u.width * 0.6 });
            },
          ],
        },
      },
      [buckets.map(seconds), ...lines.map((l) => l.values)] as uPlot.AlignedData,
      host,
    );
    const fit = new ResizeObserver(() => {
      const w = host.clientWidth;
      if (w > 0 && w !== plot.width) plot.setSize({ width: w, height: w < 480 ? Math.min(height, 240) : height });
    });
    fit.observe(host);
    return () => {
      fit.disconnect();
      plot.destroy();
    };
  }, [buckets, lines, isDark, kind, height]);
  useEffect(() => setTip(null), [buckets, lines]);

  return (
    <div class="plot" role="img" aria-label={label}>
      <div ref={box} class="plot-canvas" />
      {tip && buckets[tip.i] && (
        <div class={`plot-tip${tip.right ? " left" : ""}`} style={{ left: `${tip.x}px` }} aria-hidden="true">
          <strong>{bucketName(buckets[tip.i]!, interval)}</strong>
          {lines.slice(0, 12).map((l) => (
            <p key={l.label}>
              <i class={`dot c${((l.colour - 1) % 8) + 1}${l.dashed ? " hollow" : ""}`} />
              <span>{l.label}</span>
              <b>{l.values[tip.i] == null ? "–" : format(l.values[tip.i]!)}</b>
            </p>
          ))}
        </div>
      )}
    </div>
  );
}

// axisTimes names the ticks: the hour, the day, the month or the year, with the
// year where it changes.
function axisTimes(splits: number[], step: number, timeZone: string): string[] {
  const day = 86_400;
  let year = "";
  return splits.map((s) => {
    const d = new Date(s * 1000);
    const write = (o: Intl.DateTimeFormatOptions) => d.toLocaleString("en-GB", { ...o, timeZone });
    if (step < day) {
      const hour = write({ hour: "2-digit", minute: "2-digit" });
      return hour === "00:00" ? write({ day: "numeric", month: "short" }) : hour;
    }
    if (step >= 360 * day) return write({ year: "numeric" });
    const y = write({ year: "numeric" });
    const name = write(step < 28 * day ? { day: "numeric", month: "short" } : { month: "short" });
    const first = y !== year;
    year = y;
    return first ? `${name}\n${y}` : name;
  });
}

function axisFont(): string {
  return `12px ${css("--sans")}`;
}

// Spark is a small line without axes, for numbers that change while one looks.
export function Spark({ values, label, height = 48, max }: { values: number[]; label: string; height?: number; max?: number }) {
  const w = 240;
  const top = Math.max(max ?? 0, ...values, 1);
  const step = values.length > 1 ? w / (values.length - 1) : w;
  const points = values.map((v, i) => `${(i * step).toFixed(1)},${(height - 3 - (v / top) * (height - 8)).toFixed(1)}`);
  return (
    <svg class="spark" viewBox={`0 0 ${w} ${height}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {values.length > 1 && (
        <>
          <path class="spark-fill" d={`M0,${height} L${points.join(" L")} L${w},${height} Z`} />
          <polyline points={points.join(" ")} />
        </>
      )}
    </svg>
  );
}

// Bars compares a few amounts.
export function Bars({ rows, label, format = num, colour = 1 }: { rows: { name: string; value: number; note?: string; colour?: number }[]; label: string; format?: (n: number) => string; colour?: number }) {
  const top = Math.max(...rows.map((r) => r.value), 0) || 1;
  return (
    <ul class="bars" aria-label={label}>
      {rows.map((r) => (
        <li key={r.name}>
          <span class="bars-name">{r.name}</span>
          <span class="bars-track" aria-hidden="true">
            <span class={`bars-fill c${(((r.colour ?? colour) - 1) % 8) + 1}`} style={{ width: `${(Math.max(0, r.value) / top) * 100}%` }} />
          </span>
          <span class="bars-value">
            {format(r.value)}
            {r.note && <small>{r.note}</small>}
          </span>
        </li>
      ))}
    </ul>
  );
}
