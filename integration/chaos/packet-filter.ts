/** Cuts and loss as iptables commands, for the network of the container that is hurt. */

/** What is dropped, by the addresses at the other end. */
export interface Filter {
  readonly from?: readonly string[];
  readonly to?: readonly string[];
  /** Share of packets, 0 to 1. Default 1: a cut. */
  readonly ratio?: number;
}

export function filterScript({ from = [], to = [], ratio = 1 }: Filter): string {
  const loss = ratio === 1 ? "" : `-m statistic --mode random --probability ${ratio.toFixed(3)} `;
  return [
    ...from.map((address) => `iptables -A INPUT -s ${address} ${loss}-j DROP`),
    ...to.map((address) => `iptables -A OUTPUT -d ${address} ${loss}-j DROP`),
  ].join("\n");
}

/** Prints the counters, then removes every rule. */
export const unfilterScript = "iptables -nvxL\niptables -F";

/** Packets that the rules have dropped, from what `unfilterScript` printed. */
export function droppedCount(counters: string): number {
  return [...counters.matchAll(/^\s*(\d+)\s+\d+\s+DROP /gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}
