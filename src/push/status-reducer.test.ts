import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HostId } from "../inventory/host.ts";
import type { Digest } from "../protocol/digest.ts";
import type { Manifest } from "../protocol/manifest.ts";
import type { SyncReply } from "../protocol/sync.ts";
import { checkpointOf, isWorthCheckpoint, restoreStatus } from "./host-checkpoint.ts";
import { isParkedFor, needsPush, newStatus, type HostStatus } from "./host-status.ts";
import { outcome, type OutcomeKind, type PushForm, type PushOutcome } from "./outcome.ts";
import { afterOutcome, afterRetarget, afterSignOfLife, backoffMs } from "./status-reducer.ts";
import { syncClassOf } from "./sync-class.ts";

const rules = { unreachableFailures: 3, unreachableAfterMs: 5_000, lostAfterMs: 86_400_000 };
const digestOf = (letter: string): Digest => `sha256:${letter.repeat(64)}`;
const manifest: Manifest = {
  digest: digestOf("a"),
  configs: [{ name: "c", digest: digestOf("1") }],
};
const newer: Manifest = { digest: digestOf("b"), configs: [{ name: "c", digest: digestOf("2") }] };
const fence = { generation: 1, fleet: 2, host: 3 };
const host = "h1" as HostId;

const holding = (letter: string) => ({ manifest: digestOf(letter) });

interface At {
  readonly atMs?: number;
  readonly draw?: number;
  readonly isVerdictHeld?: boolean;
  readonly sent?: Manifest;
  readonly form?: PushForm;
}

function after(status: HostStatus, pushed: PushOutcome, at: At = {}): HostStatus {
  const { atMs = 0, draw = 0.5, isVerdictHeld = false, sent = manifest, form = "full" } = at;
  const moment = { atMs, wallMs: 1_000_000 + atMs };
  const said = { manifest: sent, fence, fenceText: "1.2.3", form };
  return afterOutcome(status, pushed, said, moment, { rules, draw, isVerdictHeld });
}

function failing(kinds: readonly OutcomeKind[], everyMs: number): HostStatus {
  return kinds.reduce(
    (status, kind, index) => after(status, outcome(kind, "why"), { atMs: index * everyMs }),
    newStatus(),
  );
}

/** Delay of the next try after many failures in a row, with the largest draw. */
function delayAfter(kind: OutcomeKind, everyMs: number): number {
  const status = failing(Array(15).fill(kind), everyMs);
  const next = after(status, outcome(kind, ""), { atMs: 15 * everyMs, draw: 0.999 });
  return (next.nextAttemptMs ?? 0) - 15 * everyMs;
}

function replied(kind: OutcomeKind, parts: Partial<SyncReply> = {}): PushOutcome {
  const reply: SyncReply = {
    host,
    boot: "boot-1",
    agent: "agent/1",
    fence: "1.2.3",
    view: "1",
    manifest: manifest.digest,
    configs: [],
    ...parts,
  };
  return { ...outcome(kind, kind === "synced" ? "" : "why"), reply };
}

const rejected = replied("rejected", {
  manifest: digestOf("0"),
  configs: [{ name: "c", digest: digestOf("9"), result: "rejected", message: "line 1" }],
});

describe("what a host asked for", () => {
  const asking = newStatus({ asked: ["c"], askedRounds: 1 });
  const silent = outcome("onFallback", "");

  it("is still to come where nothing was sent, and was sent once a request has left", () => {
    expect(after(asking, silent)).toMatchObject({ asked: ["c"], unanswered: undefined });
    const unknown = after(asking, { ...silent, mayHaveBegun: true });
    expect(unknown).toMatchObject({ asked: undefined, unanswered: manifest.digest });
  });
});

describe("reachability", () => {
  it("is suspect after one failure and unreachable after three over five seconds", () => {
    expect(failing(["refused"], 0).reachability).toBe("suspect");
    expect(failing(["refused", "timeout", "refused"], 1_000).reachability).toBe("suspect");
    expect(failing(["refused", "timeout"], 60_000).reachability).toBe("suspect");
    expect(failing(["refused", "timeout", "ambiguous"], 2_500).reachability).toBe("unreachable");
  });

  it("is lost after a day without an answer", () => {
    expect(failing(Array(4).fill("refused"), 28_799_999).reachability).toBe("unreachable");
    expect(failing(Array(4).fill("refused"), 28_800_000).reachability).toBe("lost");
  });

  it.each(["synced", "busy", "stale", "rejected", "unprocessable"] as const)(
    "is ok again after one answer, even %s",
    (kind) => {
      const status = after(failing(Array(5).fill("timeout"), 5_000), outcome(kind, ""));
      expect(status).toMatchObject({ reachability: "ok", failures: 0 });
    },
  );

  it("is not judged by local trouble or while verdicts are held, but the next try waits", () => {
    for (const status of [
      after(newStatus(), outcome("local", "no descriptors")),
      after(newStatus(), outcome("timeout", "silence"), { isVerdictHeld: true }),
    ]) {
      expect(status).toMatchObject({ reachability: "unknown", failures: 0 });
      expect(status.nextAttemptMs).toBeGreaterThan(0);
    }
  });

  it("goes back to suspect with a hello, and the backoff ends", () => {
    const status = afterSignOfLife(failing(Array(6).fill("refused"), 5_000));
    expect(status).toMatchObject({ reachability: "suspect", failures: 0, attempts: 0 });
    expect(status.nextAttemptMs).toBeUndefined();
  });
});

describe("the next try", () => {
  it("is uniform below min(cap, base * 2^attempts)", () => {
    fc.assert(
      fc.property(fc.nat(2_000), fc.double({ min: 0, max: 0.999, noNaN: true }), (tries, draw) => {
        const delayMs = backoffMs({ baseMs: 1_000, capMs: 300_000 }, tries, draw);
        expect(delayMs).toBeGreaterThanOrEqual(0);
        expect(delayMs).toBeLessThanOrEqual(Math.min(300_000, 1_000 * 2 ** Math.min(tries, 30)));
      }),
    );
    expect(backoffMs({ baseMs: 1_000, capMs: 60_000 }, 3, 0.5)).toBe(4_000);
  });

  it.each(["failed", "rejected", "unprocessable"] as const)(
    "backs off from the start in a silence after the answer `%s`",
    (kind) => {
      const answered = after(failing(Array(9).fill("ambiguous"), 5_000), replied(kind));
      const silent = [0, 3_000, 6_000].reduce(
        (status, atMs) => after(status, outcome("ambiguous", "why"), { atMs }),
        answered,
      );
      expect(silent.reachability).toBe("unreachable");
      expect(silent.nextAttemptMs).toBeLessThanOrEqual(6_000 + 8_000);
    },
  );

  it("is no sooner than a busy host asked for", () => {
    const busy = { ...outcome("busy", ""), retryAfterMs: 20_000 };
    expect(after(newStatus(), busy).nextAttemptMs).toBe(20_000);
  });

  it("comes within a minute for a refused connection, within five for a silent one", () => {
    expect(delayAfter("refused", 1_000)).toBeCloseTo(59_940);
    expect(delayAfter("timeout", 1_000)).toBeCloseTo(299_700);
  });

  it("comes within two seconds while the host is only suspected", () => {
    expect(delayAfter("refused", 1)).toBeCloseTo(1_998);
    expect(delayAfter("timeout", 1)).toBeCloseTo(1_998);
  });
});

describe("a refused manifest", () => {
  it("is parked and not wanted again, while a newer one is", () => {
    const status = after(newStatus(), rejected);
    expect(needsPush(status, manifest.digest)).toBe(false);
    expect(needsPush(status, newer.digest)).toBe(true);
    expect(status.nextAttemptMs).toBeUndefined();
    expect(syncClassOf(status, manifest.digest)).toBe("rejected");
    expect(syncClassOf(status, newer.digest)).toBe("pending");
  });

  it("is asked about once more after it was taken back, until the host has no complaint", () => {
    const status = after(newStatus(), rejected);
    const old = { ...newer, digest: digestOf("0") };
    expect(needsPush(status, old.digest)).toBe(true);
    const settled = after(status, replied("synced", { manifest: old.digest }), { sent: old });
    expect(needsPush(settled, old.digest)).toBe(false);
    expect(syncClassOf(settled, old.digest)).toBe("applied");
  });

  it("stays parked, with its reason, when the same agent answers a sweep", () => {
    const swept = after(
      after(newStatus(), rejected),
      replied("differs", { manifest: digestOf("0") }),
    );
    expect(isParkedFor(swept, manifest.digest)).toBe(true);
    expect(swept.held?.problems[0]?.message).toBe("line 1");
    expect(swept.lastError?.class).toBe("rejected");
  });

  it.each([{ boot: "boot-2" }, { agent: "agent/2" }])("is wanted again by %o", (parts) => {
    const answer = replied("differs", { manifest: digestOf("0"), ...parts });
    const swept = after(after(newStatus(), rejected), answer);
    expect(needsPush(swept, manifest.digest)).toBe(true);
  });

  it("is parked for the process that speaks of it, however its owner learned of that", () => {
    const parked = after(newStatus(), rejected);
    const retold = replied("rejected", { manifest: digestOf("0"), boot: "boot-2" });
    const heard = after(parked, retold, { form: "short" });
    expect(needsPush(heard, manifest.digest)).toBe(false);
    expect(heard.parked?.boot).toBe("boot-2");
  });

  it("is tried once more when the host holds something else than when it was refused", () => {
    const parked = after(newStatus(), replied("rejected", holding("c")));
    const same = after(parked, replied("differs", holding("c")));
    expect(isParkedFor(same, manifest.digest)).toBe(true);
    const undone = after(same, replied("differs", holding("d")));
    expect(needsPush(undone, manifest.digest)).toBe(true);
    const again = after(undone, replied("rejected", holding("e")));
    expect(isParkedFor(again, manifest.digest)).toBe(true);
    const later = { atMs: 0, wallMs: 1_000_000 };
    const restored = restoreStatus(checkpointOf(host, parked), manifest, later, 0.5);
    expect(needsPush(after(restored, replied("differs", holding("d"))), manifest.digest)).toBe(
      true,
    );
  });

  it("is parked after the second failure to apply, not after the first", () => {
    const failed = replied("failed", { manifest: digestOf("0") });
    const once = after(newStatus(), failed);
    expect(once.parked).toBeUndefined();
    expect(once.nextAttemptMs).toBe(30_000);
    expect(isParkedFor(after(once, failed, { atMs: 30_000 }), manifest.digest)).toBe(true);
  });
});

describe("a manifest that could not be applied twice", () => {
  const differs = replied("differs", { manifest: digestOf("0") });
  const failed = replied("failed", { manifest: digestOf("0") });
  const parked = after(after(newStatus(), failed), failed, { atMs: 30_000 });

  it("rests for five minutes and is then tried again", () => {
    const early = after(parked, differs, { atMs: 329_999 });
    expect(needsPush(early, manifest.digest)).toBe(false);
    expect(needsPush(after(early, differs, { atMs: 330_000 }), manifest.digest)).toBe(true);
  });

  it("rests no longer because the host tells of the failure whenever it is swept", () => {
    const swept = [60_000, 180_000, 329_999].reduce(
      (status, atMs) => after(status, failed, { atMs, form: "short" }),
      parked,
    );
    expect(needsPush(swept, manifest.digest)).toBe(false);
    expect(swept.lastError).toEqual(parked.lastError);
    const rested = after(swept, failed, { atMs: 330_000, form: "short" });
    expect(needsPush(rested, manifest.digest)).toBe(true);
    expect(rested.nextAttemptMs).toBeUndefined();
    const again = after(rested, failed, { atMs: 331_000 });
    const later = (atMs: number) => after(again, failed, { atMs, form: "short" });
    expect(needsPush(later(630_999), manifest.digest)).toBe(false);
    expect(needsPush(later(631_000), manifest.digest)).toBe(true);
  });

  it("is parked as failed where it was refused before, by the answer to a sweep too", () => {
    const refused = after(newStatus(), replied("rejected", { manifest: digestOf("0") }));
    const once = after(refused, failed, { atMs: 60_000, form: "short" });
    const twice = after(once, failed, { atMs: 120_000, form: "short" });
    expect([once.parked?.class, twice.parked?.class]).toEqual(["rejected", "failed"]);
  });

  it("rests as long at a new owner, which knows of it from a checkpoint", () => {
    const moment = { atMs: 1_000, wallMs: 0 };
    const restored = restoreStatus(checkpointOf(host, parked), manifest, moment, 0.5);
    const at = (atMs: number) => needsPush(after(restored, differs, { atMs }), manifest.digest);
    expect([at(300_999), at(301_000)]).toEqual([false, true]);
  });

  it("rests as long where the host could not read the request, whoever spoiled it", () => {
    const spoiled = after(after(newStatus(), differs), outcome("unprocessable", "400"));
    expect(needsPush(after(spoiled, differs, { atMs: 299_999 }), manifest.digest)).toBe(false);
    expect(needsPush(after(spoiled, differs, { atMs: 300_000 }), manifest.digest)).toBe(true);
  });

  it("is told from a refused one, which is never sent again as it is", () => {
    const refused = after(newStatus(), replied("rejected", { manifest: digestOf("0") }));
    const swept = after(refused, differs, { atMs: 10_000_000 });
    expect(needsPush(swept, manifest.digest)).toBe(false);
  });
});

describe("a push without an answer", () => {
  const silent = after(newStatus(), outcome("ambiguous", "no reply"));
  const failed = replied("failed", { manifest: digestOf("0") });

  it("is remembered until the host answers, whatever else fails meanwhile", () => {
    expect(silent.unanswered).toBe(manifest.digest);
    const busy = after(after(silent, outcome("refused", "")), outcome("busy", ""));
    expect(busy.unanswered).toBe(manifest.digest);
    expect(after(busy, replied("differs")).unanswered).toBeUndefined();
    expect(after(silent, rejected).unanswered).toBeUndefined();
  });

  it("is nothing that a machine at another address knows of", () => {
    const change = { isAddressNew: true, isManifestNew: false, isFenceNew: true };
    expect(afterRetarget(silent, change).unanswered).toBeUndefined();
  });

  it("between two failures does not make the second the first again", () => {
    const again = after(after(after(newStatus(), failed), outcome("ambiguous", "")), failed);
    expect(isParkedFor(again, manifest.digest)).toBe(true);
  });

  it("leaves nothing behind once the host is in sync", () => {
    const well = after(
      after(after(newStatus(), failed), outcome("ambiguous", "")),
      replied("synced"),
    );
    expect([well.unanswered, well.failedOnce]).toEqual([undefined, undefined]);
  });
});

describe("what a host holds", () => {
  it("shares the manifest's list and the fence where it is in sync", () => {
    const status = after(newStatus(), replied("synced"));
    expect(status.held?.configs).toBe(manifest.configs);
    expect(status.held?.fence).toBe(fence);
    const swept = after(status, replied("synced"), { atMs: 60_000 });
    expect(swept.held).toBe(status.held);
    expect(isWorthCheckpoint(status, swept)).toBe(false);
  });

  it("asks for contents a bounded number of times", () => {
    const missing = { ...replied("missing", { manifest: digestOf("0") }), missing: ["c"] };
    let status = newStatus();
    let rounds = 0;
    while (needsPush(status, manifest.digest) && rounds < 100) {
      status = after(status, missing);
      rounds++;
    }
    expect(rounds).toBe(17);
    expect(status.lastError?.message).toContain("again and again");
  });
});

describe("a change of target", () => {
  const waiting = after(newStatus(), replied("failed", { manifest: digestOf("0") }));

  it("ends a wait that the old release caused, and no other", () => {
    const change = { isAddressNew: false, isManifestNew: true, isFenceNew: true };
    expect(afterRetarget(waiting, change).nextAttemptMs).toBeUndefined();
    const down = failing(["refused"], 0);
    expect(afterRetarget(down, change)).toBe(down);
  });

  it("gives a new address a new chance", () => {
    const change = { isAddressNew: true, isManifestNew: false, isFenceNew: true };
    const quarantined = after(newStatus(), outcome("quarantined", "other host"));
    expect(quarantined.isQuarantined).toBe(true);
    expect(afterRetarget(quarantined, change)).toMatchObject({ isQuarantined: false, attempts: 0 });
    expect(afterRetarget(failing(Array(4).fill("timeout"), 5_000), change)).toMatchObject({
      reachability: "unknown",
      nextAttemptMs: undefined,
    });
  });
});

describe("a checkpoint", () => {
  const moment = { atMs: 77, wallMs: 5 };
  const throughJson = (status: HostStatus) =>
    restoreStatus(JSON.parse(JSON.stringify(checkpointOf(host, status))), manifest, moment, 0.5);

  it("lets a new owner push only where something differs", () => {
    const restored = throughJson(after(newStatus(), replied("synced")));
    expect(needsPush(restored, manifest.digest)).toBe(false);
    expect(needsPush(restored, newer.digest)).toBe(true);
    expect(syncClassOf(restored, manifest.digest)).toBe("applied");
    expect(restored.held?.configs).toBe(manifest.configs);
  });

  it("keeps what is parked, with the agent it was parked for", () => {
    const restored = throughJson(after(newStatus(), rejected));
    expect(needsPush(restored, manifest.digest)).toBe(false);
    expect(restored).toMatchObject({ boot: "boot-1", agent: "agent/1" });
  });

  it("keeps an unreachable host unreachable and spreads the first try", () => {
    const restored = throughJson(failing(Array(4).fill("timeout"), 5_000));
    expect(restored).toMatchObject({ reachability: "unreachable", failures: 4 });
    expect(restored.nextAttemptMs).toBe(77 + 7_500);
  });
});
