import { describe, expect, test } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { parseHostId } from "../inventory/host.ts";
import { manifestDigestOf } from "../protocol/digest.ts";
import { newStatus } from "../push/host-status.ts";
import { answerCounts, answerHosts, takenAddresses } from "./answers.ts";
import type { KnownHost } from "./host-views.ts";

const desired = { digest: manifestDigestOf([]), configs: [] };

function hostOf(id: string, partition: number, labels = {}): KnownHost {
  return {
    record: {
      id: parseHostId(id),
      revision: 1,
      address: `http://${id}:9000`,
      modes: ["dial"],
      labels,
      pins: {},
    },
    partition,
    fence: { generation: 1, fleet: 0, host: 1 },
    desired,
    status: newStatus(),
  };
}

/** Partitions 1 and 2 are served here, 3 is not. */
const hosts = [hostOf("c", 1, { role: "edge" }), hostOf("a", 1), hostOf("b", 2), hostOf("d", 2)];
const source = (partition: number) =>
  partition === 3 ? undefined : hosts.filter((host) => host.partition === partition);
const recordsOf = (partition: number) => (source(partition) ?? []).map(({ record }) => record);
const ownerOf = (partition: number) => `n${partition}`;
const query = { partitions: [1, 2], limit: 10, isDetailed: false };
const idsOf = (answer: { hosts: readonly { id: string }[] }) => answer.hosts.map(({ id }) => id);

describe("hosts", () => {
  test("come ascending by id, across partitions, each with its owner", () => {
    const answer = answerHosts(query, source, ownerOf);
    expect(answer.hosts.map(({ id, owner }) => [id, owner])).toEqual([
      ["a", "n1"],
      ["b", "n2"],
      ["c", "n1"],
      ["d", "n2"],
    ]);
    expect(answer.unserved).toEqual([]);
  });

  test("of a partition that is not served are named as unserved, not as none", () => {
    const answer = answerHosts({ ...query, partitions: [3, 2] }, source, ownerOf);
    expect([idsOf(answer), answer.unserved]).toEqual([["b", "d"], [3]]);
  });

  test("pages join without gap or repetition", () => {
    const seen: string[] = [];
    for (let after: string | undefined; ;) {
      const page = answerHosts(
        { ...query, limit: 3, ...(after === undefined ? {} : { after }) },
        source,
        ownerOf,
      );
      seen.push(...idsOf(page));
      after = page.hosts.at(-1)?.id;
      if (page.hosts.length < 3) break;
    }
    expect(seen).toEqual(["a", "b", "c", "d"]);
  });

  test("are narrowed by id, selector and state", () => {
    expect(idsOf(answerHosts({ ...query, ids: ["d", "x"] }, source, ownerOf))).toEqual(["d"]);
    expect(idsOf(answerHosts({ ...query, selector: "role" }, source, ownerOf))).toEqual(["c"]);
    expect(idsOf(answerHosts({ ...query, sync: "applied" }, source, ownerOf))).toEqual([]);
    expect(idsOf(answerHosts({ ...query, reachability: "unknown" }, source, ownerOf))).toHaveLength(
      4,
    );
  });
});

const none = () => [];

describe("counts", () => {
  test.each([
    [undefined, 5, 1],
    ["", 5, 1],
    ["role=edge", 1, 1],
  ])("with selector %s have hosts whose record cannot be read", (selector, total, damaged) => {
    const error = new CoxswainError("STORE_CORRUPT", "not a host");
    const damagedIn = (partition: number) => (partition === 1 ? [] : [{ id: "e", error }]);
    const rollout = selector === undefined ? {} : { rollout: { config: "app", selector } };
    const answer = answerCounts({ partitions: [1, 2, 3], ...rollout }, source, damagedIn);
    expect(answer.counts).toMatchObject({ total, damaged });
    const problem = { class: "damaged", message: "not a host", count: 1, hosts: ["e"] };
    expect(answer.problems).toContainEqual(problem);
  });

  test("cover the served partitions and name the others", () => {
    const answer = answerCounts({ partitions: [1, 2, 3] }, source, none);
    expect(answer.counts).toMatchObject({ total: 4, neverSeen: 4 });
    expect(answer.unserved).toEqual([3]);
  });

  test("of a rollout are about its selector", () => {
    const rollout = { config: "app", selector: "role=edge" };
    expect(answerCounts({ partitions: [1, 2], rollout }, source, none).counts.total).toBe(1);
  });
});

describe("taken addresses", () => {
  test("belong to another host; a host's own address is not taken", () => {
    const asked = [
      { id: "a", address: "http://a:9000" },
      { id: "x", address: "http://b:9000" },
      { id: "y", address: "http://y:9000" },
    ];
    expect(takenAddresses(asked, [1, 2, 3], recordsOf)).toEqual([
      { id: "x", address: "http://b:9000", by: "b" },
    ]);
  });
});
