import { expect, test } from "vitest";
import { Coalescer } from "./coalescer.ts";

/** Work whose turns end when the test says so. */
function controlled() {
  const turns: { key: string; end: () => void; fail: (error: Error) => void }[] = [];
  const coalescer = new Coalescer<string>(
    (key) =>
      new Promise<void>((resolve, reject) => {
        turns.push({ key, end: resolve, fail: reject });
      }),
  );
  return { turns, coalescer };
}

const settled = () =>
  new Promise<void>((resolve) => {
    setImmediate(resolve);
  });

test("wishes during a turn share one more turn that starts after it", async () => {
  const { turns, coalescer } = controlled();
  const first = coalescer.run("a");
  const later = [coalescer.run("a"), coalescer.run("a"), coalescer.run("a")];
  await settled();
  expect(turns).toHaveLength(1);
  turns[0]?.end();
  await first;
  await settled();
  expect(turns).toHaveLength(2);
  let isDone = false;
  const all = Promise.all(later).finally(() => {
    isDone = true;
  });
  await settled();
  expect(isDone).toBe(false);
  turns[1]?.end();
  await all;
  expect(turns).toHaveLength(2);
});

test("a wish between two turns waits for the one that follows", async () => {
  const { turns, coalescer } = controlled();
  void coalescer.run("a");
  void coalescer.run("a");
  turns[0]?.end();
  await settled();
  const third = coalescer.run("a");
  turns[1]?.end();
  await settled();
  expect(turns).toHaveLength(3);
  turns[2]?.end();
  await third;
});

test("keys do not wait for each other", async () => {
  const { turns, coalescer } = controlled();
  void coalescer.run("a");
  void coalescer.run("b");
  await settled();
  expect(turns.map(({ key }) => key)).toEqual(["a", "b"]);
});

test("a turn that fails rejects its own wishes only, and the next one runs", async () => {
  const { turns, coalescer } = controlled();
  const first = coalescer.run("a");
  const second = coalescer.run("a");
  turns[0]?.fail(new Error("away"));
  await expect(first).rejects.toThrow("away");
  await settled();
  turns[1]?.end();
  await second;
  const third = coalescer.run("a");
  await settled();
  expect(turns).toHaveLength(3);
  turns[2]?.end();
  await third;
});
