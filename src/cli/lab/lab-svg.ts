/**
 * The laboratory's figure, after the article's second one: goodput against offered load, and goodput over
 * time through the outage. Readable on light and dark pages; no fonts or scripts from elsewhere.
 */
import { bucketMs, movingSeconds } from "./goodput.ts";
import { shapeNames, shapes, type Shape, type TriggerKind } from "./lab-scene.ts";
import type { LabResults, LoadPoint, TriggerRun } from "./lab-results.ts";
import { drawChart, escapeXml, type Box, type Chart, type ChartLine } from "./line-chart.ts";

const width = 1_040;
const height = 400;
const loadBox: Box = { x: 60, y: 62, width: 330, height: 260 };
const timeBox: Box = { x: 578, y: 62, width: 330, height: 260 };

/** Warm where hosts set the pace, cool where the control plane does. */
const colours: Readonly<Record<Shape, readonly [light: string, dark: string]>> = {
  naive: ["#c62828", "#ff7b72"],
  backoff: ["#d9730d", "#ffa657"],
  hardened: ["#8a6d00", "#e3c64a"],
  object: ["#6f42c1", "#c9a2ff"],
  push: ["#0b6bcb", "#6cb6ff"],
  reverse: ["#00838f", "#4dd0e1"],
  knock: ["#2e7d32", "#7ee787"],
};

export function labSvg(results: LabResults): string {
  const { options, capacityPerSecond, machine } = results;
  const note =
    `${options.hosts.toLocaleString("en-US")} hosts, ${options.renderMs} ms a render (${options.render}), callers wait ${options.timeoutMs / 1_000} s; ` +
    `capacity ${capacityPerSecond.toFixed(0)}/s, pace ${results.pacePerSecond.toFixed(0)}/s measured on ${machine.processor}`;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="lab-title">`,
    `<title id="lab-title">Goodput of the shapes against offered load and through an outage</title>`,
    `<style>${stylesheet()}</style>`,
    `<rect class="page" width="${width}" height="${height}"/>`,
    drawChart(loadChart(results), loadBox),
    drawChart(timeChart(results), timeBox),
    `<text class="tick" x="${loadBox.x}" y="${height - 14}">${escapeXml(note)}</text>`,
    `</svg>`,
  ].join("\n")}\n`;
}

function shareOf({ good, capacity }: LoadPoint): number {
  return good / capacity;
}

/** Dashed where lines of the same kind lie on each other. */
const dashes = ".line.backoff,.line.reverse{stroke-dasharray:7 4}.line.knock{stroke-dasharray:2 3}";

function stylesheet(): string {
  return [
    "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif}text.title{font-size:14px;font-weight:600}text.label{font-weight:600;stroke:none}",
    ".tick{opacity:.8}.line{fill:none;stroke-width:2.2;stroke-linejoin:round}.tie{fill:none;stroke-width:1;opacity:.5}.rule{stroke-dasharray:3 4;opacity:.6}",
    dashes,
    pageRules("#ffffff", "#24292f", "#e4e7eb", "#f0f0f0"),
    colourRules(0),
    `@media (prefers-color-scheme:dark){${pageRules("#0d1117", "#d7dde3", "#2a313a", "#1d242d")}${colourRules(1)}}`,
  ].join("");
}

function colourRules(scheme: 0 | 1): string {
  const rules = shapes.map((shape) => {
    const colour = colours[shape][scheme];
    return `.${shape}{stroke:${colour}}text.${shape}{fill:${colour}}`;
  });
  return rules.join("");
}

function pageRules(back: string, ink: string, faint: string, band: string): string {
  return `.page{fill:${back}}.title,.tick{fill:${ink}}.grid{stroke:${faint}}.axis,.rule{stroke:${ink}}.band{fill:${band}}`;
}

function loadChart(results: LabResults): Chart {
  const { options } = results;
  const xMax = Math.max(1, ...options.loads);
  const yMax = niceMax(Math.max(1, ...results.points.map(shareOf)) * 1.1);
  const lines = options.shapes.map((shape): ChartLine => ({
    label: shapeNames[shape],
    className: shape,
    points: results.points
      .filter((point) => point.shape === shape)
      .toSorted((one, other) => one.load - other.load)
      .map((point) => [point.load, shareOf(point)]),
  }));
  return {
    title: "Goodput against offered load",
    xLabel: "offered load, as a multiple of the capacity",
    yLabel: "goodput, as a multiple of the capacity",
    xMax,
    yMax,
    xTicks: ticks(xMax, 6),
    yTicks: ticks(yMax, 5),
    xUnit: "x",
    lines: lines.filter(({ points }) => points.length > 0),
    rules: [{ y: 1, label: "capacity" }],
  };
}

const titles: Readonly<Record<TriggerKind, string>> = {
  outage: "Goodput through an outage",
  frequency: "Goodput through a call-frequency bug",
  failures: "Goodput through failures",
};

function timeChart(results: LabResults): Chart {
  const drawn = results.triggerRuns.some(({ trigger }) => trigger === "outage")
    ? "outage"
    : results.triggerRuns[0]?.trigger;
  const runs = results.triggerRuns.filter(({ trigger }) => trigger === drawn);
  const lines = runs.map((run) => ({
    label: shapeNames[run.shape],
    className: run.shape,
    points: seconds(run),
  }));
  const xMax = Math.max(1, ...lines.flatMap(({ points }) => points.map(([x]) => x)));
  const most = Math.max(...lines.flatMap(({ points }) => points.map(([, y]) => y)));
  const yMax = niceMax(Math.max(most, 1) * 1.1);
  const first = runs[0];
  return {
    title: drawn === undefined ? "No trigger was tried" : titles[drawn],
    xLabel: `seconds, at a load of ${results.triggerLoad.toFixed(2)}x; mean of one second`,
    yLabel: "goodput, as a multiple of the capacity",
    xMax,
    yMax,
    xTicks: ticks(xMax, 8),
    yTicks: ticks(yMax, 5),
    xUnit: "",
    lines: lines.filter(({ points }) => points.length > 0),
    ...(first !== undefined && {
      band: {
        from: first.fromMs / 1_000,
        to: (first.fromMs + first.forMs) / 1_000,
        label: first.trigger === "outage" ? "outage" : "trigger",
      },
    }),
    rules: [],
  };
}

/** Goodput of the second that ends at each moment. */
function seconds({ buckets, capacity }: TriggerRun): (readonly [number, number])[] {
  const values = movingSeconds(buckets.map(({ good }) => good));
  return values.map((value, start) => [1 + (start * bucketMs) / 1_000, value / capacity] as const);
}

/** The next number of the form 1, 2, 2.5, 4, 5, 6 or 8 times a power of ten. */
export function niceMax(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((factor) => factor * power >= value) ?? 10;
  return step * power;
}

/** Round numbers from 0 to `max`, about `count` of them. */
export function ticks(max: number, count: number): number[] {
  const raw = max / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw) ?? 10) * power;
  const made: number[] = [];
  for (let index = 0; index * step <= max * (1 + 1e-9); index++) {
    made.push(Number((index * step).toPrecision(6)));
  }
  return made;
}
