/**
 * Units that running nodes have counted, out of the text of their metrics.
 *
 * Only `coxswain_store_units_total` is read. Two readings of one node give what it consumed between
 * them; a counter that went back means that the process is another one, and the interval is void.
 */
import type { UnitRow } from "./store-cost.ts";

const line = /^coxswain_store_units_total\{([^}]*)\} (\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;

/** Units by `kind access`. */
export function parseUnits(text: string): Map<string, number> {
  const units = new Map<string, number>();
  for (const each of text.split("\n")) {
    const [, labels = "", value] = line.exec(each.trim()) ?? [];
    const call = /call="(\w+)"/.exec(labels)?.[1];
    const kind = /kind="(\w+)"/.exec(labels)?.[1];
    if (value === undefined || call === undefined || kind === undefined) continue;
    const access = call === "query" || call.startsWith("get") ? "read" : "write";
    const name = `${kind} ${access}`;
    units.set(name, (units.get(name) ?? 0) + Number(value));
  }
  return units;
}

/** Units a second between two readings of one node; undefined where it started anew in between. */
export function unitsBetween(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
  durationMs: number,
): UnitRow[] | undefined {
  const rows: UnitRow[] = [];
  for (const [name, units] of after) {
    const consumed = units - (before.get(name) ?? 0);
    if (consumed < 0) return undefined;
    const [kind = "", access] = name.split(" ");
    const unitsPerSecond = (consumed * 1_000) / durationMs;
    rows.push({
      what: kind,
      kind,
      access: access === "read" ? "read" : "write",
      units: unitsPerSecond,
    });
  }
  return rows;
}

/** Rows of several nodes as one, largest first. */
export function addUnits(nodes: readonly (readonly UnitRow[])[]): UnitRow[] {
  const sums = new Map<string, UnitRow>();
  for (const row of nodes.flat()) {
    const name = `${row.kind} ${row.access}`;
    sums.set(name, { ...row, units: row.units + (sums.get(name)?.units ?? 0) });
  }
  return [...sums.values()]
    .filter(({ units }) => units > 0)
    .toSorted((left, right) => right.units - left.units || (left.kind < right.kind ? -1 : 1));
}
