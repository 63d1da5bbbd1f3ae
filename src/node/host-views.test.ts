import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseHostId, type HostRecord } from "../inventory/host.ts";
import { parseSelector } from "../inventory/selector.ts";
import { manifestDigestOf, type Digest } from "../protocol/digest.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import type { Manifest } from "../protocol/manifest.ts";
import { newStatus, type HostStatus } from "../push/host-status.ts";
import { hostView, passes, Tally, type KnownHost } from "./host-views.ts";

const digestA: Digest = `sha256:${"a".repeat(64)}`;
const digestB: Digest = `sha256:${"b".repeat(64)}`;

function manifestOf(...configs: { name: string; digest: Digest }[]): Manifest {
  return { digest: manifestDigestOf(configs), configs };
}

const desired = manifestOf({ name: "app", digest: digestA }, { name: "web", digest: digestB });

function hostOf(id: string, status: Partial<HostStatus> = {}, labels = {}): KnownHost {
  const record = {
    id: parseHostId(id),
    revision: 3,
    address: "http://127.0.0.1:9000",
    modes: ["dial"] as const,
    labels,
    pins: {},
  };
  const fence = { generation: 1, fleet: 2, host: 3 };
  return { record, partition: 7, fence, desired, status: newStatus(status) };
}

const held = (manifest: Manifest, problems: NonNullable<HostStatus["held"]>["problems"] = []) => ({
  held: { manifest: manifest.digest, fence: undefined, configs: manifest.configs, problems },
  lastContactWallMs: 0,
});

const failing = (message: string) => ({
  reachability: "unreachable" as const,
  lastContactWallMs: 0,
  lastError: { class: "refused" as const, message, wallMs: 0 },
});

describe("counting", () => {
  const classes: Record<string, Partial<HostStatus>> = {
    neverSeen: {},
    applied: { reachability: "ok", ...held(desired) },
    pending: { reachability: "ok", ...held(manifestOf()) },
    unreachable: { ...held(desired), reachability: "unreachable" },
    rejected: {
      reachability: "ok",
      ...held(manifestOf(), [{ name: "app", result: "rejected", message: "no" }]),
      parked: {
        manifest: desired.digest,
        class: "rejected",
        message: "no",
        boot: undefined,
        agent: undefined,
      },
    },
  };

  test.each(Object.keys(classes))("a host that is %s counts as that and nothing else", (name) => {
    const tally = new Tally();
    tally.add(hostOf("h1", classes[name]), undefined);
    const zero = {
      total: 1,
      applied: 0,
      pending: 0,
      rejected: 0,
      unreachable: 0,
      neverSeen: 0,
      damaged: 0,
    };
    expect(tally.counts).toEqual({ ...zero, [name]: 1 });
  });

  test("classes add up to the total, and tallies of parts to the tally of the whole", () => {
    const names = fc.array(fc.constantFrom(...Object.keys(classes)), { maxLength: 40 });
    fc.assert(
      fc.property(names, names, fc.boolean(), (left, right, isScoped) => {
        const scope = isScoped ? { config: "app", selector: parseSelector("") } : undefined;
        const tallyOf = (list: string[]) => {
          const tally = new Tally();
          for (const [index, name] of list.entries()) {
            tally.add(hostOf(`h${index}`, classes[name]), scope);
          }
          return tally;
        };
        const merged = new Tally();
        for (const part of [tallyOf(left), tallyOf(right)])
          merged.merge(part.counts, part.problems);
        expect(merged.counts).toEqual(tallyOf([...left, ...right]).counts);
        const { total, ...parts } = merged.counts;
        expect(Object.values(parts).reduce((sum, count) => sum + count, 0)).toBe(total);
        expect(total).toBe(left.length + right.length);
      }),
    );
  });

  test("a rollout counts only the hosts that its selector matches", () => {
    const tally = new Tally();
    const scope = { config: "app", selector: parseSelector("role=edge") };
    tally.add(hostOf("h1", {}, { role: "edge" }), scope);
    tally.add(hostOf("h2", {}, { role: "core" }), scope);
    tally.add(hostOf("h3"), scope);
    expect(tally.counts.total).toBe(1);
  });

  test("a rollout of one config is not held up by another config's refusal", () => {
    const tally = new Tally();
    const status = held(desired, [{ name: "web", result: "rejected", message: "no" }]);
    tally.add(hostOf("h1", { reachability: "ok", ...status }), {
      config: "app",
      selector: parseSelector(""),
    });
    expect(tally.counts.applied).toBe(1);
    expect(tally.problems).toEqual([]);
  });
});

const part = (index: number) => {
  const tally = new Tally();
  tally.add(hostOf(`h${index}`, failing(`connect ECONNREFUSED 127.0.0.${index}:9000`)), undefined);
  return tally;
};

const merged = (parts: Tally[]) => {
  const whole = new Tally();
  for (const { counts, problems } of parts) whole.merge(counts, problems);
  return whole.problems;
};

describe("problems", () => {
  test("a hundred hosts that refuse at their own addresses are one problem", () => {
    const tally = new Tally();
    for (let index = 99; index >= 0; index--) {
      const message = `connect ECONNREFUSED 127.0.0.${100 + index}:9000`;
      tally.add(hostOf(`h${100 + index}`, failing(message)), undefined);
    }
    expect(tally.problems).toEqual([
      {
        class: "refused",
        message: "connect ECONNREFUSED 127.0.0.100:9000",
        count: 100,
        hosts: ["h100", "h101", "h102", "h103", "h104"],
      },
    ]);
  });

  test("the same trouble from two nodes is one problem, whoever answers first", () => {
    const [first, second] = [part(1), part(2)];
    expect(merged([first, second])).toEqual(merged([second, first]));
    expect(merged([first, second])).toHaveLength(1);
    expect(merged([first, second])[0]).toMatchObject({ count: 2, hosts: ["h1", "h2"] });
  });

  test("one message of two classes is two problems, the one with more hosts first", () => {
    const tally = new Tally();
    tally.add(hostOf("h1", failing("no answer")), undefined);
    for (const id of ["h2", "h3"]) {
      const lastError = { class: "timeout" as const, message: "no answer", wallMs: 0 };
      tally.add(hostOf(id, { ...failing(""), lastError }), undefined);
    }
    expect(tally.problems.map(({ class: kind, count }) => [kind, count])).toEqual([
      ["timeout", 2],
      ["refused", 1],
    ]);
  });

  test("the host's own message goes before the class of the exchange", () => {
    const tally = new Tally();
    const status = held(manifestOf(), [{ name: "web", result: "rejected", message: "line 3" }]);
    tally.add(hostOf("h1", { reachability: "ok", ...status }), undefined);
    expect(tally.problems).toEqual([
      { class: "rejected", message: "line 3", count: 1, hosts: ["h1"] },
    ]);
  });

  test("what worked in the end is no problem", () => {
    const tally = new Tally();
    const { lastError } = failing("no");
    tally.add(hostOf("h1", { reachability: "ok", ...held(desired), lastError }), undefined);
    expect(tally.problems).toEqual([]);
  });

  test("the list is bounded and names the most frequent", () => {
    const tally = new Tally();
    const letters = "abcdefghijklmnopqrstuvwxyz";
    for (const letter of letters) tally.add(hostOf(`h-${letter}`, failing(letter)), undefined);
    for (const id of ["y1", "y2"]) tally.add(hostOf(id, failing("z")), undefined);
    expect(tally.problems).toHaveLength(20);
    expect(tally.problems[0]).toMatchObject({ message: "z", count: 3 });
  });
});

const viaOf = (modes: HostRecord["modes"], status: Partial<HostStatus>, via?: HostMode) => {
  const host = hostOf("h1", status);
  return hostView({ ...host, record: { ...host.record, modes }, via }, "n1", false).via;
};

describe("what people see", () => {
  test("a host that was never seen has nothing but what it should hold", () => {
    expect(hostView(hostOf("h1"), undefined, true)).toEqual({
      id: "h1",
      address: "http://127.0.0.1:9000",
      modes: ["dial"],
      labels: {},
      pins: {},
      partition: 7,
      owner: null,
      fence: "1.2.3",
      desired: { manifest: desired.digest, configs: desired.configs },
      held: null,
      sync: "neverSeen",
      reachability: "unknown",
      lastContact: null,
      via: null,
      lastError: null,
      nextAttempt: null,
      state: null,
    });
  });

  test("how it was heard last is what the owner knows, else the only way there is", () => {
    const heard = { reachability: "ok", lastContactWallMs: 1_000 } as const;
    expect(viaOf(["dial"], heard)).toBe("dial");
    expect(viaOf(["reverse"], heard)).toBe("reverse");
    expect(viaOf(["reverse"], {})).toBeNull();
    expect(viaOf(["dial", "object"], heard)).toBeNull();
    expect(viaOf(["dial", "object"], heard, "object")).toBe("object");
  });

  test("what it holds is listed by name, with the reason where something is wrong", () => {
    const status = held(desired, [{ name: "app", result: "failed", message: "no disk" }]);
    const view = hostView(hostOf("h1", { ...status, state: { load: 1 } }), "n1", true);
    expect(view.held?.configs).toEqual([
      { name: "app", result: "failed", message: "no disk" },
      { name: "web", digest: digestB, result: "applied" },
    ]);
    expect(view.state).toEqual({ load: 1 });
    expect(view.lastContact).toBe("1970-01-01T00:00:00.000Z");
  });

  test("lists leave configs and state out", () => {
    const view = hostView(hostOf("h1", { ...held(desired), state: {} }), "n1", false);
    expect(view.desired).toEqual({ manifest: desired.digest });
    expect(view.held).toEqual({ manifest: desired.digest });
    expect(view).not.toHaveProperty("state");
  });

  test.each([
    [{ selector: undefined, reachability: undefined, sync: undefined }, true],
    [{ selector: parseSelector("role=edge"), reachability: undefined, sync: undefined }, true],
    [{ selector: parseSelector("role=core"), reachability: undefined, sync: undefined }, false],
    [{ selector: undefined, reachability: "unreachable", sync: undefined }, true],
    [{ selector: undefined, reachability: "ok", sync: undefined }, false],
    [{ selector: undefined, reachability: undefined, sync: "unreachable" }, true],
    [{ selector: undefined, reachability: undefined, sync: "applied" }, false],
  ])("a filter narrows by what it names: %j is %s", (filter, expected) => {
    expect(passes(hostOf("h1", failing("x"), { role: "edge" }), filter)).toBe(expected);
  });
});
