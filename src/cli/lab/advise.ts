/**
 * From what the laboratory saw to what a reader can do with it: a verdict on each shape for the fleet that was
 * asked about.
 *
 * A shape holds if it came back from every trigger and still delivered half of what was possible under every
 * load that was tried. A verdict never says more than was seen: what was not tried is not judged.
 */
import { isPoll, shapeNames, type Shape, type TriggerKind } from "./lab-scene.ts";
import { paceRatio } from "./lab-plan.ts";
import type { LabResults, LoadPoint } from "./lab-results.ts";

type Verdict = "holds" | "collapses";

export interface ShapeAdvice {
  readonly shape: Shape;
  readonly verdict: Verdict;
  readonly why: string;
}

export interface Advice {
  /** The fleet in question, in one sentence. */
  readonly fleet: string;
  readonly shapes: readonly ShapeAdvice[];
  readonly conclusion: string;
}

/** Under this part of what was possible a shape counts as collapsed. */
const collapsedRatio = 0.5;

const triggerWords: Readonly<Record<TriggerKind, string>> = {
  frequency: "the call-frequency bug",
  outage: "the outage",
  failures: "the failures",
};

const fits: Readonly<Record<Shape, string>> = {
  naive: "Only where the load never comes near the capacity, whatever happens.",
  backoff: "Better than naive below the capacity; above it a queue without end decides.",
  hardened: "Fits where every client is yours and keeps to its retry budget.",
  object: "Fits where a change may take a poll interval, and for cold starts.",
  push: "Fits where hosts can be dialled.",
  reverse: "Fits hosts behind a load balancer, NAT or firewall.",
  knock: "Fits where hosts can be dialled and come and go.",
};

export function advise(results: LabResults): Advice {
  const shapes = results.options.shapes.map((shape) => adviceOn(shape, results));
  return { fleet: fleetSentence(results), shapes, conclusion: conclude(results, shapes) };
}

/** What a shape can deliver a second at this load. */
export function possibleAt({ shape, offered, capacity }: LoadPoint): number {
  return Math.min(offered, isPoll(shape) ? capacity : paceRatio * capacity);
}

function adviceOn(shape: Shape, results: LabResults): ShapeAdvice {
  const worst = results.points
    .filter((point) => point.shape === shape)
    .map((point) => ({ point, ratio: point.good / Math.max(1, possibleAt(point)) }))
    .toSorted((one, other) => one.ratio - other.ratio)[0];
  const stuck = results.triggerRuns.filter(
    (run) => run.shape === shape && run.recoveredAfterMs === undefined,
  );
  const reasons: string[] = [];
  if (worst !== undefined && worst.ratio < collapsedRatio) {
    reasons.push(
      `at ${worst.point.load}x it delivers ${percent(worst.ratio)} of what was possible`,
    );
  }
  if (stuck.length > 0) {
    const watchedSeconds = Math.min(...stuck.map(({ observedMs }) => observedMs)) / 1_000;
    const names = stuck.map(({ trigger }) => triggerWords[trigger]).join(" and ");
    reasons.push(`not back from ${names} within ${watchedSeconds.toFixed(0)} s`);
  }
  if (reasons.length > 0)
    return { shape, verdict: "collapses", why: `${sentence(reasons)} ${fits[shape]}` };
  const kept =
    worst === undefined
      ? ""
      : `Never under ${percent(Math.min(1, worst.ratio))} of what was possible. `;
  return { shape, verdict: "holds", why: kept + fits[shape] };
}

function fleetSentence({ options, demandPerSecond, capacityPerSecond }: LabResults): string {
  const { hosts, intervalMs, timeoutMs, renderMs } = options;
  return (
    `${hosts.toLocaleString("en-US")} hosts, each with a fresh config every ${timeText(intervalMs)}, want ` +
    `${demandPerSecond.toFixed(0)} renders/s; at ${renderMs} ms each, one core made ` +
    `${capacityPerSecond.toFixed(0)}/s: a load of ${(demandPerSecond / capacityPerSecond).toFixed(2)}. ` +
    `Callers give up after ${timeText(timeoutMs)}.`
  );
}

function conclude(results: LabResults, shapes: readonly ShapeAdvice[]): string {
  const { demandPerSecond, pacePerSecond, options } = results;
  const wholeFleet = `the whole fleet in ${timeText((options.hosts * 1_000) / pacePerSecond)}`;
  const paced = shapes.filter(({ shape, verdict }) => !isPoll(shape) && verdict === "holds");
  const names = paced.map(({ shape }) => shapeNames[shape]).join(", ");
  if (paced.length === 0)
    return "No shape in which the control plane sets the pace held in this run.";
  if (demandPerSecond > pacePerSecond) {
    return (
      `This load is more than one control plane can render (${pacePerSecond.toFixed(0)}/s at its pace). ` +
      `In ${names} hosts get their configs later, ${wholeFleet}; fewer or cheaper renders, or more nodes, are what helps.`
    );
  }
  return `In ${names} the pace is the control plane's: ${wholeFleet}, whatever hosts do; choose by the network (docs/shapes.md).`;
}

function sentence(parts: readonly string[]): string {
  const text = parts.join("; ");
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function percent(ratio: number): string {
  return `${Math.round(100 * ratio)} %`;
}

function timeText(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${Number((ms / 1_000).toFixed(1))} s`;
}
