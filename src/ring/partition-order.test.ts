import * as fc from "fast-check";
import { expect, test } from "vitest";
import { partitionOf } from "./hash.ts";
import { inPartitionOrder } from "./partition-order.ts";

const same = (id: string) => id;
/** Partitions of 1,024 that a thousand of them fall into. */
const touched = (ids: readonly string[]) =>
  new Set(ids.slice(7_000, 8_000).map((id) => partitionOf(id, 1_024))).size;

test("hosts of one partition are one run, whatever power of two the partitions are", () => {
  const ids = fc.array(fc.string(), { maxLength: 200 });
  const bits = fc.integer({ min: 1, max: 16 });
  fc.assert(
    fc.property(ids, bits, (given, exponent) => {
      const partitions = inPartitionOrder(given, same).map((id) => partitionOf(id, 2 ** exponent));
      const runs = partitions.filter((partition, index) => partition !== partitions[index - 1]);
      expect(runs).toHaveLength(new Set(partitions).size);
    }),
  );
});

test("nothing is lost, and hosts of one id keep their order", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("a", "b", "c", "d")), (given) => {
      const values = given.map((id, at) => ({ id, at }));
      const ordered = inPartitionOrder(values, ({ id }) => id);
      expect(ordered.toSorted((left, right) => left.at - right.at)).toEqual(values);
      for (const id of "abcd") {
        const places = ordered.filter((value) => value.id === id).map(({ at }) => at);
        expect(places).toEqual(places.toSorted((left, right) => left - right));
      }
    }),
  );
});

test("a request of 1,000 of 20,000 hosts touches a twentieth of 1,024 partitions", () => {
  const ids = Array.from({ length: 20_000 }, (_, index) => `host-${index}`);
  expect(touched(ids)).toBeGreaterThan(600);
  expect(touched(inPartitionOrder(ids, same))).toBeLessThan(60);
});
