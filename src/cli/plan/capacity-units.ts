/**
 * DynamoDB's published rules of what a request is charged, as pure functions.
 *
 * A strongly consistent read is charged by 4 KB, a write by 1 KB, each begun one whole; what is not
 * there still costs one. A query is charged by the sum of what it read, a batch by each item. Partitions
 * hold as many hosts as chance gives them, so what grows with their hosts is a mean over that chance:
 * rounding the mean instead would be too low by up to half a unit a partition.
 *
 * Source: Amazon DynamoDB Developer Guide, "DynamoDB read and write operations".
 */
const readUnitBytes = 4096;
const writeUnitBytes = 1024;

/** Units of a strongly consistent read of `bytes`; a query passes the sum of its items. */
export function readUnits(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / readUnitBytes));
}

/** Units of a write; `bytes` is the larger of the item before and after. */
export function writeUnits(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / writeUnitBytes));
}

/** Above this mean the spread is small against it, and a whole unit rounds up by a half. */
const exactMeanMax = 400;

/**
 * Mean of `unitsOf(count)` over partitions that have one host at least, where hosts fall into
 * partitions by chance with `mean` hosts each (a Poisson law); 0 where there are no hosts.
 */
export function meanOverPartitions(mean: number, unitsOf: (count: number) => number): number {
  if (mean <= 0) return 0;
  if (mean > exactMeanMax) return unitsOf(mean);
  const countMax = Math.ceil(mean + 10 * Math.sqrt(mean) + 10);
  let share = Math.exp(-mean);
  let sum = 0;
  for (let count = 1; count <= countMax; count++) {
    share *= mean / count;
    sum += share * unitsOf(count);
  }
  return sum / filledRatio(mean);
}

/** Share of the partitions that have a host. */
export function filledRatio(mean: number): number {
  return -Math.expm1(-mean);
}
