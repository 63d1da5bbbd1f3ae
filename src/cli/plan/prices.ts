/**
 * Units to money. Prices are the caller's: the defaults are AWS's published ones for us-east-1 (Standard
 * table class, on-demand since November 2024, looked up on 2026-11-23). They change and differ by region,
 * so every bill names the ones it was made with. Storage, backups and traffic are not in it.
 */
export interface Prices {
  /** Per million read and write request units, on-demand. */
  readonly perMillionReads: number;
  readonly perMillionWrites: number;
  /** Per unit of provisioned capacity and hour. */
  readonly perReadUnitHour: number;
  readonly perWriteUnitHour: number;
}

export const defaultPrices: Prices = {
  perMillionReads: 0.125,
  perMillionWrites: 0.625,
  perReadUnitHour: 0.00013,
  perWriteUnitHour: 0.00065,
};

export interface Bill {
  readonly readsPerMonth: number;
  readonly writesPerMonth: number;
  readonly onDemand: number;
  /** Capacity that carries the mean at `utilizationRatio`. */
  readonly readCapacity: number;
  readonly writeCapacity: number;
  readonly provisioned: number;
}

/** A month as AWS counts it: 730 hours. */
const hoursPerMonth = 730;
const secondsPerMonth = hoursPerMonth * 3_600;
export const daysPerMonth = hoursPerMonth / 24;

/** The bill of a steady rate of units a second. */
export function billOf(
  perSecond: { readonly reads: number; readonly writes: number },
  prices: Prices,
  utilizationRatio: number,
): Bill {
  const readsPerMonth = perSecond.reads * secondsPerMonth;
  const writesPerMonth = perSecond.writes * secondsPerMonth;
  const readCapacity = Math.max(1, Math.ceil(perSecond.reads / utilizationRatio));
  const writeCapacity = Math.max(1, Math.ceil(perSecond.writes / utilizationRatio));
  return {
    readsPerMonth,
    writesPerMonth,
    onDemand:
      (readsPerMonth * prices.perMillionReads + writesPerMonth * prices.perMillionWrites) / 1e6,
    readCapacity,
    writeCapacity,
    provisioned:
      hoursPerMonth *
      (readCapacity * prices.perReadUnitHour + writeCapacity * prices.perWriteUnitHour),
  };
}
