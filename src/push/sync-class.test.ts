import { expect, it } from "vitest";
import type { HostId } from "../inventory/host.ts";
import type { Digest } from "../protocol/digest.ts";
import { newStatus, type HostStatus } from "./host-status.ts";
import { outcome, type OutcomeKind, type PushOutcome } from "./outcome.ts";
import { afterOutcome } from "./status-reducer.ts";
import { configClassOf } from "./sync-class.ts";

const digestOf = (letter: string): Digest => `sha256:${letter.repeat(64)}`;
const wanted = digestOf("1");
const manifest = { digest: digestOf("a"), configs: [{ name: "c", digest: wanted }] };
const rules = { unreachableFailures: 3, unreachableAfterMs: 5_000, lostAfterMs: 86_400_000 };

function after(status: HostStatus, pushed: PushOutcome, atMs = 0): HostStatus {
  const fence = { generation: 1, fleet: 2, host: 3 };
  const sent = { manifest, fence, fenceText: "1.2.3", form: "full" } as const;
  const context = { rules, draw: 0.5, isVerdictHeld: false };
  return afterOutcome(status, pushed, sent, { atMs, wallMs: 1_000_000 + atMs }, context);
}

/** The host's reply that it holds `held` now. */
function replied(kind: OutcomeKind, held: Digest): PushOutcome {
  const reply = {
    host: "h1" as HostId,
    boot: "boot-1",
    agent: "agent/1",
    fence: "1.2.3",
    view: "1",
    manifest: held,
    configs: [],
  };
  return { ...outcome(kind, ""), reply };
}

const applied = after(newStatus(), replied("synced", manifest.digest));
const other = digestOf("0");
const gone = [0, 5_000, 10_000].reduce(
  (status, atMs) => after(status, outcome("timeout", ""), atMs),
  applied,
);

it.each([
  ["neverSeen", newStatus()],
  ["unreachable", gone],
  ["rejected", after(newStatus(), replied("rejected", other))],
  ["applied", applied],
  ["pending", after(newStatus(), replied("differs", other))],
])("a config is %s", (expected, status) => {
  expect(configClassOf(status, manifest.digest, "c", wanted)).toBe(expected);
});

it("a removed config is applied once the host no longer has it", () => {
  expect(configClassOf(applied, manifest.digest, "gone", undefined)).toBe("applied");
  expect(configClassOf(applied, manifest.digest, "c", undefined)).toBe("pending");
});
