/** A line chart as SVG text, small enough for a document: no scripts, no fonts of its own. */
export interface Line {
  readonly name: string;
  readonly colour: string;
  /** Ascending in x. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

const [width, height, left, bottom, top, right] = [720, 300, 60, 40, 30, 20];

export function lineChart(title: string, xName: string, lines: readonly Line[]): string {
  const all = lines.flatMap(({ points }) => points);
  const xMax = all.reduce((most, [x]) => Math.max(most, x), 0) || 1;
  const yMax = all.reduce((most, [, y]) => Math.max(most, y), 0) || 1;
  const xAt = (x: number) => left + (x / xMax) * (width - left - right);
  const yAt = (y: number) => height - bottom - (y / yMax) * (height - bottom - top);
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const axis = ticks.map((share) => {
    const y = yAt(share * yMax);
    return (
      `<line x1="${left}" x2="${width - right}" y1="${fixed(y)}" y2="${fixed(y)}" stroke="#ddd"/>` +
      `<text x="${left - 6}" y="${fixed(y + 4)}" text-anchor="end">${short(share * yMax)}</text>` +
      `<text x="${fixed(xAt(share * xMax))}" y="${height - bottom + 16}" text-anchor="middle">${short(share * xMax)}</text>`
    );
  });
  const curves = lines.map(({ name, colour, points }, index) => {
    const path = points.map(([x, y]) => `${fixed(xAt(x))},${fixed(yAt(y))}`).join(" ");
    return (
      `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${path}"/>` +
      `<text x="${left + 10 + index * 210}" y="${top - 4}" fill="${colour}">${name}</text>`
    );
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title><rect width="${width}" height="${height}" fill="white"/>`,
    ...axis,
    ...curves,
    `<text x="${width / 2}" y="${height - 6}" text-anchor="middle">${xName}</text>`,
    "</svg>",
    "",
  ].join("\n");
}

function fixed(value: number): string {
  return value.toFixed(1);
}

function short(value: number): string {
  return value >= 10 ? String(Math.round(value)) : value.toFixed(1);
}
