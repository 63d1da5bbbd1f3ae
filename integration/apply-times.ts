/**
 * How long releases took to reach hosts, from what the hosts wrote down. Pure: values in, numbers out.
 *
 * Times are wall-clock times of one machine. A host that has a later release has the earlier one, as
 * far as anybody waits for it: only the newest is pushed.
 */
import type { ApplyRecord, Publication } from "./chaos/checker.ts";

export interface TimedPublication extends Publication {
  readonly startedAtMs: number;
  /** The acknowledgement, or the failure. */
  readonly endedAtMs: number;
}

type Logs = ReadonlyMap<string, readonly ApplyRecord[]>;

/** From `sinceMs` until each host had something published after it; Infinity where it never had. */
export function waitsForNews(
  hosts: readonly string[],
  logs: Logs,
  published: readonly TimedPublication[],
  sinceMs: number,
): number[] {
  const first = published.findIndex(({ startedAtMs }) => startedAtMs >= sinceMs);
  const places = placesOf(published);
  return hosts.map((host) => reachedAtMs(logs.get(host) ?? [], places, first) - sinceMs);
}

/** From each acknowledgement of that time until each host had that release or a newer one. */
export function propagationTimes(
  hosts: readonly string[],
  logs: Logs,
  published: readonly TimedPublication[],
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): number[] {
  const places = placesOf(published);
  return published.flatMap(({ outcome, startedAtMs, endedAtMs }, place) => {
    if (outcome !== "acknowledged" || startedAtMs < fromMs || startedAtMs > toMs) return [];
    return hosts.map((host) =>
      Math.max(0, reachedAtMs(logs.get(host) ?? [], places, place) - endedAtMs),
    );
  });
}

/** `p50 120 ms, p99 800 ms, longest 900 ms`. */
export function describeTimes(timesMs: readonly number[]): string {
  const sorted = timesMs.toSorted((left, right) => left - right);
  const at = (ratio: number) => Math.round(sorted[Math.floor((sorted.length - 1) * ratio)] ?? 0);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`;
}

/** Place of each release in the order of publication; no content is published twice. */
function placesOf(published: readonly Publication[]): ReadonlyMap<string, number> {
  return new Map(published.map(({ digest }, place) => [digest, place]));
}

function reachedAtMs(
  records: readonly ApplyRecord[],
  places: ReadonlyMap<string, number>,
  place: number,
): number {
  const found = records.find(({ configs }) =>
    configs.some(({ digest }) => (places.get(digest) ?? -1) >= place),
  );
  return found === undefined || place < 0 ? Infinity : Date.parse(found.at);
}
