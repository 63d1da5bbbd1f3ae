/**
 * A small line chart as SVG text: axes, lines, and a label at the end of each line instead of a legend.
 *
 * Labels that would overlap are moved apart and tied to their lines. Colours are classes, so that one
 * stylesheet serves light and dark.
 */
export interface ChartLine {
  readonly label: string;
  /** Class of the stylesheet that colours it. */
  readonly className: string;
  readonly points: readonly (readonly [number, number])[];
}

interface ChartBand {
  readonly from: number;
  readonly to: number;
  readonly label: string;
}

interface ChartRule {
  readonly y: number;
  readonly label: string;
}

export interface Chart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly xMax: number;
  readonly yMax: number;
  readonly xTicks: readonly number[];
  readonly yTicks: readonly number[];
  readonly xUnit: string;
  readonly lines: readonly ChartLine[];
  readonly band?: ChartBand;
  readonly rules: readonly ChartRule[];
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const labelSpacing = 14;
const labelGap = 16;

/** SVG elements of the chart, its plot inside `box`; title above, labels below, left and right of it. */
export function drawChart(chart: Chart, box: Box): string {
  const toX = (value: number) => box.x + (value / chart.xMax) * box.width;
  const toY = (value: number) => box.y + box.height - (value / chart.yMax) * box.height;
  return [
    text(box.x, box.y - 22, chart.title, "title"),
    ...drawBand(chart.band, box, toX),
    ...chart.yTicks.flatMap((tick) => [
      line(box.x, toY(tick), box.x + box.width, toY(tick), tick === 0 ? "axis" : "grid"),
      text(box.x - 6, toY(tick) + 4, String(tick), "tick", "end"),
    ]),
    ...chart.xTicks.map((tick) =>
      text(toX(tick), box.y + box.height + 16, `${tick}${chart.xUnit}`, "tick", "middle"),
    ),
    text(box.x + box.width / 2, box.y + box.height + 34, chart.xLabel, "tick", "middle"),
    text(box.x, box.y - 6, chart.yLabel, "tick"),
    ...chart.rules.flatMap((rule) => [
      line(box.x, toY(rule.y), box.x + box.width, toY(rule.y), "rule"),
      text(box.x + 4, toY(rule.y) - 4, rule.label, "tick"),
    ]),
    ...drawLines(chart.lines, box, toX, toY),
  ].join("\n");
}

function drawLines(
  lines: readonly ChartLine[],
  box: Box,
  toX: (value: number) => number,
  toY: (value: number) => number,
): string[] {
  const ends = lines.map(({ points }) => {
    const [x, y] = points.at(-1) ?? [0, 0];
    return { x: toX(x), y: toY(y) };
  });
  const labelYs = spread(
    ends.map(({ y }) => y),
    labelSpacing,
    box.y,
    box.y + box.height,
  );
  return lines.flatMap(({ label, className, points }, index) => {
    const end = ends[index] ?? { x: box.x, y: box.y };
    const labelY = labelYs[index] ?? end.y;
    const labelX = box.x + box.width + labelGap;
    const path = points.map(([x, y]) => `${round(toX(x))},${round(toY(y))}`).join(" ");
    return [
      `<polyline class="line ${className}" points="${path}"/>`,
      `<polyline class="tie ${className}" points="${round(end.x)},${round(end.y)} ${round(labelX - 3)},${round(labelY)}"/>`,
      text(labelX, labelY + 4, label, `label ${className}`),
    ];
  });
}

function drawBand(band: ChartBand | undefined, box: Box, toX: (value: number) => number): string[] {
  if (band === undefined) return [];
  const x = toX(band.from);
  const width = toX(band.to) - x;
  return [
    `<rect class="band" x="${round(x)}" y="${box.y}" width="${round(width)}" height="${box.height}"/>`,
    text(x + width / 2, box.y + 14, band.label, "tick", "middle"),
  ];
}

/** Positions as near as may be to `wanted`, in its order, at least `spacing` apart, from `min` to `max`. */
export function spread(
  wanted: readonly number[],
  spacing: number,
  min: number,
  max: number,
): number[] {
  const order = wanted.map((_, index) => index);
  order.sort((one, other) => (wanted[one] ?? 0) - (wanted[other] ?? 0) || one - other);
  const placed: number[] = [];
  let last = min - spacing;
  for (const index of order) {
    last = Math.max(wanted[index] ?? min, last + spacing);
    placed[index] = last;
  }
  let next = max + spacing;
  for (const index of order.toReversed()) {
    next = Math.min(placed[index] ?? max, next - spacing);
    placed[index] = next;
  }
  return placed;
}

function line(x1: number, y1: number, x2: number, y2: number, className: string): string {
  return `<line class="${className}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`;
}

function text(x: number, y: number, content: string, className: string, anchor = "start"): string {
  return `<text class="${className}" x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${escapeXml(content)}</text>`;
}

export function escapeXml(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
