/**
 * Work on many items with a bound on how many are under way, so that an import of ten thousand hosts
 * does not open ten thousand requests.
 */

/** Runs `work` on each item, in order of start; the first failure ends it and is thrown. */
export async function forEachBounded<T>(
  items: readonly T[],
  concurrencyMax: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      try {
        await work(items[index] as T, index);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrencyMax, items.length) }, worker));
}

/** `items` in order, `size` a group. */
export function inGroups<T>(items: readonly T[], size: number): T[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, group) => items.slice(group * size, (group + 1) * size));
}
