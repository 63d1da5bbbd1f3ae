import * as fc from "fast-check";
import { expect, test } from "vitest";
import { spread } from "./gather-hosts.ts";
import { parseGauges } from "./gather-members.ts";

const hostsOf = (owners: readonly (string | null)[]) =>
  owners.map((owner, index) => ({ id: `h-${String(index).padStart(4, "0")}`, owner }));

test("a sample is spread over the owners, as evenly as they have hosts", () => {
  const owners = fc.array(fc.constantFrom("a", "b", "c", null), { maxLength: 60 });
  fc.assert(
    fc.property(owners, fc.integer({ min: 1, max: 20 }), (names, count) => {
      const hosts = hostsOf(names);
      const sample = spread(hosts, count);
      expect(sample).toHaveLength(Math.min(count, hosts.length));
      expect(sample.map(({ id }) => id)).toEqual(
        [...new Set(sample.map(({ id }) => id))].toSorted(),
      );
      const takenOf = (owner: string | null) =>
        sample.filter((each) => each.owner === owner).length;
      const most = Math.max(0, ...sample.map(({ owner }) => takenOf(owner)));
      for (const owner of new Set(names)) {
        const has = names.filter((name) => name === owner).length;
        expect(takenOf(owner)).toBeGreaterThanOrEqual(Math.min(has, most - 1));
      }
    }),
  );
});

test("gauges are read without comments, labels and values that are no numbers", () => {
  const text = [
    "# HELP coxswain_store_reachable 1 while …",
    "coxswain_store_reachable 1",
    'coxswain_view_members{state="active"} 3',
    "coxswain_loop_lag_seconds 0.0125",
    "coxswain_odd NaN",
    "process_cpu 7",
  ].join("\n");
  expect([...parseGauges(text)]).toEqual([
    ["coxswain_store_reachable", 1],
    ["coxswain_loop_lag_seconds", 0.0125],
  ]);
});
