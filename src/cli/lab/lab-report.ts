/** The laboratory's findings as text: two tables and the verdict. */
import { countOf, formatTable } from "../format.ts";
import { advise, possibleAt, type ShapeAdvice } from "./advise.ts";
import { shapeNames, triggerNames, type Shape } from "./lab-scene.ts";
import type { LabResults, TriggerRun } from "./lab-results.ts";

type Paint = (colour: "red" | "green" | "bold" | "dim", text: string) => string;

const collapsedRatio = 0.5;

export function formatLab(results: LabResults, paint: Paint, columns: number): string {
  const parts = [conditions(results)];
  if (results.points.length > 0) parts.push(loadSection(results, paint));
  if (results.triggerRuns.length > 0) parts.push(triggerSection(results, paint));
  parts.push(adviceSection(results, paint, columns));
  return parts.join("\n\n");
}

function conditions({ machine, options, capacityPerSecond, pacePerSecond }: LabResults): string {
  const { pinned, loadAverages, cpuRatio } = machine;
  const where =
    pinned === undefined
      ? "not pinned to cores (no taskset, or one core)"
      : `control plane on core ${pinned[0]}, fleet on core ${pinned[1]}`;
  const lines = [
    `Capacity ${capacityPerSecond.toFixed(0)} renders/s measured, ${(1_000 / options.renderMs).toFixed(0)}/s by its cost; pace where the control plane sets it ${pacePerSecond.toFixed(0)}/s.`,
    `${machine.processor}, ${countOf(machine.cores, "core")}, ${machine.runtime}; ${where}; load average ${loadAverages.map((load) => load.toFixed(1)).join(" to ")}.`,
  ];
  if (cpuRatio < 0.9) {
    lines.push(
      `The control plane had its core for ${(100 * cpuRatio).toFixed(0)} % of the time only: other work on this machine makes the figures rough.`,
    );
  }
  return lines.join("\n");
}

function loadSection(results: LabResults, paint: Paint): string {
  const { loads, shapes } = results.options;
  const wanted = loads.map((load) => `${(100 * load).toFixed(0)} %`);
  const rows = shapes.map((shape) => [
    shapeNames[shape],
    ...loads.map((load) => {
      const point = results.points.find((one) => one.shape === shape && one.load === load);
      if (point === undefined) return "-";
      const isCollapsed = point.good < collapsedRatio * possibleAt(point);
      const share = `${((100 * point.good) / point.capacity).toFixed(0)} %`;
      return isCollapsed ? paint("red", share) : share;
    }),
  ]);
  const table = formatTable(
    ["offered load", ...loads.map((load) => `${load}x`)],
    [["(wanted)", ...wanted], ...rows],
  );
  return `${paint("bold", "Goodput: configs that arrived before their receiver gave up, as part of the capacity")}\n${table}`;
}

function triggerSection(results: LabResults, paint: Paint): string {
  const { shapes, triggers } = results.options;
  const runOf = (shape: Shape, trigger: string) =>
    results.triggerRuns.find((run) => run.shape === shape && run.trigger === trigger);
  const tables = triggers.map((trigger) => {
    const rows = shapes.flatMap((shape) => {
      const run = runOf(shape, trigger);
      if (run === undefined) return [];
      const { beforePerSecond, lowestPerSecond } = run;
      return [
        [
          shapeNames[shape],
          beforePerSecond.toFixed(0),
          lowestPerSecond.toFixed(0),
          recoveryText(run, paint),
        ],
      ];
    });
    const forMs = results.triggerRuns.find((run) => run.trigger === trigger)?.forMs ?? 0;
    const title = `Trigger: ${triggerNames[trigger]}, for ${forMs / 1_000} s, at ${results.triggerLoad.toFixed(2)}x`;
    return `${paint("bold", title)}\n${formatTable(["shape", "before/s", "lowest/s", "back after"], rows)}`;
  });
  return tables.join("\n\n");
}

function recoveryText({ recoveredAfterMs, observedMs }: TriggerRun, paint: Paint): string {
  if (recoveredAfterMs === undefined) {
    return paint("red", `not within ${(observedMs / 1_000).toFixed(0)} s`);
  }
  return recoveredAfterMs === 0 ? "at once" : `${(recoveredAfterMs / 1_000).toFixed(1)} s`;
}

function adviceSection(results: LabResults, paint: Paint, columns: number): string {
  const { fleet, shapes, conclusion } = advise(results);
  const line = ({ shape, verdict, why }: ShapeAdvice) => {
    const mark = verdict === "holds" ? paint("green", "holds    ") : paint("red", "collapses");
    const indent = 27;
    return `${shapeNames[shape].padEnd(16)}${mark}  ${wrap(why, columns - indent, indent)}`;
  };
  return [
    paint("bold", "What this means"),
    wrap(fleet, columns, 0),
    ...shapes.map(line),
    wrap(conclusion, columns, 0),
  ].join("\n");
}

/** Lines of at most `width` characters, all but the first behind `indent` blanks. */
export function wrap(text: string, width: number, indent: number): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > Math.max(20, width)) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.join(`\n${" ".repeat(indent)}`);
}

/** One line for the progress display. */
export function sceneText(shape: Shape, load: number, trigger: string | undefined): string {
  return `${shapeNames[shape]}, ${trigger ?? `load ${load}`}`;
}
