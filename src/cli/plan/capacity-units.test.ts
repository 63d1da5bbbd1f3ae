import { expect, test } from "vitest";
import { filledRatio, meanOverPartitions, readUnits, writeUnits } from "./capacity-units.ts";

test.each([
  { bytes: 0, reads: 1, writes: 1 },
  { bytes: 1, reads: 1, writes: 1 },
  { bytes: 1_024, reads: 1, writes: 1 },
  { bytes: 1_025, reads: 1, writes: 2 },
  { bytes: 4_096, reads: 1, writes: 4 },
  { bytes: 4_097, reads: 2, writes: 5 },
])("$bytes bytes are $reads read and $writes write units", ({ bytes, reads, writes }) => {
  expect([readUnits(bytes), writeUnits(bytes)]).toEqual([reads, writes]);
});

test("partitions share hosts by chance: some are empty, and none costs less than one unit", () => {
  expect(filledRatio(0)).toBe(0);
  expect(filledRatio(1)).toBeCloseTo(1 - 1 / Math.E, 10);
  expect(meanOverPartitions(0, () => 1)).toBe(0);
  expect(meanOverPartitions(3, () => 1)).toBeCloseTo(1, 10);
  expect(meanOverPartitions(3, (count) => count) * filledRatio(3)).toBeCloseTo(3, 8);
});

const unitsOf = (count: number) => writeUnits(count * 100);

test("rounding each partition up costs more than rounding their mean", () => {
  expect(writeUnits(10 * 100)).toBe(1);
  expect(meanOverPartitions(10, unitsOf)).toBeGreaterThan(1.3);
  expect(meanOverPartitions(10, unitsOf)).toBeLessThan(2);
});
