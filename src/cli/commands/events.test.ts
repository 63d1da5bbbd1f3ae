import { expect, test } from "vitest";
import { runCommand, startScriptedApi } from "../cli-fixture.ts";

const event = (type: string, fields: object) =>
  `event: ${type}\ndata: ${JSON.stringify({ type, at: "2026-11-23T06:12:31.000Z", ...fields })}\n\n`;

test("events are lines, filtered by type, and end after --count", async () => {
  const stream =
    ": recent\n\n" +
    event("view.changed", { node: "n", version: 3 }) +
    event("host.drift", { host: "a" }) +
    event("view.changed", { node: "n\u001b", version: 4 });
  await using api = await startScriptedApi({ "GET /v1/events": { bytes: Buffer.from(stream) } });
  const args = ["events", "--type", "view.changed", "--count", "2", "--api", api.url];
  const run = await runCommand(args);
  expect(run).toEqual({
    code: 0,
    stdout: "06:12:31 view.changed node=n version=3\n06:12:31 view.changed node=n\\x1b version=4\n",
    stderr: "",
  });
});

test("a connection that ends is opened again and repeats are not shown twice", async () => {
  const first = event("a", { number: 1 });
  const streams = [first, first + event("b", { number: 2 })];
  await using api = await startScriptedApi({
    "GET /v1/events": () => ({ bytes: Buffer.from(streams.shift() ?? "") }),
  });
  const run = await runCommand(["events", "--count", "2", "--output", "json", "--api", api.url]);
  expect(
    run.stdout
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { number: number }).number),
  ).toEqual([1, 2]);
  expect(run.stderr).toContain("connection lost (the node closed it); connecting again");
});

test("an address where nothing listens fails at once", async () => {
  const gone = await startScriptedApi({});
  await gone[Symbol.asyncDispose]();
  const run = await runCommand(["events", "--api", gone.url]);
  expect(run.code).toBe(69);
});
