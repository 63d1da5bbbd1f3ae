import { expect, test } from "vitest";
import { emptyView } from "../../src/ring/view.ts";
import { Recorder, type Observation } from "../observations.ts";
import { Timeline } from "../timeline.ts";
import { ParkedCheck } from "./parked-check.ts";

const push = { node: "node-a/1", host: "h1", manifest: "m1" };
const sent: Observation = { kind: "push.sent", ...push, fence: "1.1.1", isFull: true, localMs: 0 };
const swept: Observation = { ...sent, isFull: false };
const answered = { kind: "push.ended", ...push, how: "200", boot: "b1" } as const;
const refused: Observation = { ...answered, isRejected: true };
const restarted: Observation = { ...answered, boot: "b2", isRejected: false };
const silent: Observation = { ...answered, how: "timeout", boot: undefined, isRejected: false };
const recordStored: Observation = { kind: "stored", by: "node-b", key: "part#1/host#h1" };
const otherStored: Observation = { kind: "stored", by: "node-b", key: "part#1/host#h11" };
const nodeEnded: Observation = { kind: "node.ended", node: push.node, how: "killed" };
const viewStored: Observation = { kind: "view.stored", by: "node-b", view: emptyView };

const cases: readonly {
  readonly title: string;
  readonly seen: readonly Observation[];
  readonly isFault: boolean;
}[] = [
  { title: "again", seen: [sent, refused, sent], isFault: true },
  {
    title: "again after a sweep that had no answer",
    seen: [sent, refused, swept, silent, sent],
    isFault: true,
  },
  {
    title: "again after a change of another host",
    seen: [sent, otherStored, refused, otherStored, sent],
    isFault: true,
  },
  {
    title: "again after the second of two refusals, with a view in the first",
    seen: [sent, viewStored, refused, swept, refused, sent],
    isFault: true,
  },
  { title: "in the short form only", seen: [sent, refused, swept, refused, swept], isFault: false },
  {
    title: "again to another process",
    seen: [sent, refused, swept, restarted, sent],
    isFault: false,
  },
  { title: "again without an answer", seen: [sent, silent, sent], isFault: false },
  { title: "again under another view", seen: [sent, refused, viewStored, sent], isFault: false },
  {
    title: "again after a refusal that a view overtook",
    seen: [sent, viewStored, refused, sent],
    isFault: false,
  },
  {
    title: "again after a refusal that a change of the record overtook",
    seen: [sent, recordStored, refused, sent],
    isFault: false,
  },
  { title: "again by the next process", seen: [sent, refused, nodeEnded, sent], isFault: false },
];

test.each(cases)("a refused release sent $title: fault $isFault", ({ seen, isFault }) => {
  const recorder = new Recorder(new Timeline());
  recorder.checks.push(new ParkedCheck(recorder));
  for (const observation of seen) recorder.observe(observation);
  expect(recorder.failure?.check).toBe(isFault ? "S11 parked" : undefined);
});
