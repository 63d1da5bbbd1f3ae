import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { silentLogger, type Logger } from "../kernel/log.ts";
import { goesBack, parseFence } from "../protocol/fence.ts";
import { limits } from "../protocol/limits.ts";
import { createHost, good, manifestOf, results, target } from "./agent-fixture.ts";
import { fullSync, headersOf, shortSync } from "./sync-builder.ts";

describe("who may push", () => {
  test.each([
    ["another cluster", headersOf({ cluster: "c2" }), 403, "WRONG_CLUSTER"],
    ["another host", headersOf({ host: "h2" }), 421, "WRONG_HOST"],
    ["a fence that is no fence", headersOf({ fence: "1.2" }), 400, "BAD_REQUEST"],
    ["a negative view", headersOf({ view: "-1" }), 400, "BAD_REQUEST"],
    ["no node", headersOf({ node: "" }), 400, "BAD_REQUEST"],
    ["no cluster", headersOf({ cluster: "" }), 400, "BAD_REQUEST"],
  ])("%s is refused and nothing changes", async (_what, headers, status, code) => {
    const host = await createHost();
    const answer = await host.sync({ ...fullSync("1.1.1", { "a.conf": "one" }), headers });
    expect(answer).toMatchObject({ status, body: { error: { code } } });
    expect(host.disk.paths()).toEqual([]);
    expect(host.core.lastSyncAtMs()).toBeUndefined();
  });

  test.each([
    ["a body that is no object", [], 400],
    ["a manifest that is no digest", { manifest: "sha256:1" }, 400],
    ["a config name with ..", { configs: [{ name: "../x" }] }, 400],
    ["a config name that is absolute", { configs: [{ name: "/etc/passwd" }] }, 400],
    ["a size over the limit", { configs: [{ size: limits.contentBytesMax + 1 }] }, 400],
    ["more configs than a host may hold", { configs: Array.from({ length: 65 }, () => ({})) }, 400],
    ["one name twice", { configs: [{}, {}] }, 400],
    ["a list that is not the manifest", { manifest: `sha256:${"0".repeat(64)}` }, 422],
  ])("%s is refused and nothing changes", async (_what, change, status) => {
    const host = await createHost();
    const sync = fullSync("1.1.1", { "a.conf": "one" });
    const [first] = sync.body.configs ?? [];
    const configs = "configs" in change ? change.configs : [{}];
    const body = Array.isArray(change)
      ? change
      : { ...sync.body, ...change, configs: configs?.map((each) => ({ ...first, ...each })) };
    const answer = await host.core.handleSync({ headers: sync.headers, body });
    expect(answer.status).toBe(status);
    expect(host.disk.paths()).toEqual([]);
  });

  test("unknown fields of a newer node are ignored", async () => {
    const host = await createHost();
    const sync = fullSync("1.1.1", { "a.conf": "one" });
    const answer = await host.core.handleSync({ ...sync, body: { ...sync.body, newer: true } });
    expect(answer.status).toBe(200);
  });
});

describe("the fence", () => {
  test.each(["1.4.9", "1.5.1", "0.9.9"])("%s after 1.5.2 goes back: 409", async (fence) => {
    const host = await createHost();
    await host.sync(fullSync("1.5.2", { "a.conf": "new" }));
    const before = host.disk.stepCount;
    const answer = await host.sync(fullSync(fence, { "a.conf": "old" }, [], "99"));
    expect(answer).toMatchObject({ status: 409, body: { error: { code: "FENCE_GOES_BACK" } } });
    expect(answer.reply).toMatchObject({ fence: "1.5.2", view: "17" });
    expect(host.disk.stepCount).toBe(before);
    expect(host.disk.text("/agent/configs/a.conf")).toBe("new");
  });

  test("an equal fence with another manifest raises the integrity alarm", async () => {
    const errors: string[] = [];
    const log = { ...silentLogger, error: (_: object, message: string) => errors.push(message) };
    const host = await createHost({ log: log as unknown as Logger });
    await host.sync(fullSync("1.5.2", { "a.conf": "new" }));
    const answer = await host.sync(fullSync("1.5.2", { "a.conf": "other" }));
    expect(answer).toMatchObject({ status: 409, body: { error: { code: "FENCE_REUSED" } } });
    expect(errors).toEqual(["integrity: one fence with two manifests"]);
    expect(host.disk.text("/agent/configs/a.conf")).toBe("new");
  });

  test("a higher generation is accepted and resets fence and view", async () => {
    const host = await createHost();
    await host.sync(fullSync("1.500.200", { "a.conf": "old" }, [], "900"));
    const { reply } = await host.sync(fullSync("2.1.1", { "a.conf": "new" }, [], "3"));
    expect(reply).toMatchObject({ fence: "2.1.1", view: "3" });
    expect(host.disk.text("/agent/configs/a.conf")).toBe("new");
  });

  test("the highest view is remembered and returned, and is no gate", async () => {
    const host = await createHost();
    await host.sync(fullSync("1.1.1", { "a.conf": "one" }, [], "20"));
    const { status, reply } = await host.sync(fullSync("1.2.1", { "a.conf": "two" }, [], "19"));
    expect([status, reply.view]).toEqual([200, "20"]);
  });

  test("it is raised durably even where the config was rejected", async () => {
    const host = await createHost({
      listed: { "a.conf": target({ check: ["no"] }) },
      run: () => ({ kind: "exited", code: 1, output: "bad" }),
    });
    await host.sync(fullSync("1.7.1", { "a.conf": "one" }));
    await host.reopen();
    expect(host.core.held().fence).toEqual(parseFence("1.7.1"));
    expect((await host.sync(fullSync("1.6.1", { "a.conf": "one" }))).status).toBe(409);
  });

  test("it is raised by a short form, also one that differs", async () => {
    const host = await createHost();
    await host.sync(fullSync("1.1.1", { "a.conf": "one" }));
    const { reply } = await host.sync(shortSync("1.3.1", { "a.conf": "three" }));
    expect(reply).toMatchObject({ fence: "1.3.1", manifest: manifestOf({ "a.conf": "one" }) });
    expect((await host.sync(fullSync("1.2.1", { "a.conf": "two" }))).status).toBe(409);
    expect((await host.sync(fullSync("1.3.1", { "a.conf": "three" }))).status).toBe(200);
  });

  test("property: applied fences never go back, whatever order syncs come in", async () => {
    const counter = fc.integer({ min: 0, max: 4 });
    const step = fc.record({
      fence: fc.tuple(counter, counter, counter),
      isShort: fc.boolean(),
      isRestart: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const host = await createHost();
        let stored = host.core.held().fence;
        for (const { fence: parts, isShort, isRestart } of steps) {
          if (isRestart) await host.reopen();
          const text = parts.join(".");
          const contents = { "a.conf": text };
          const sync = isShort ? shortSync(text, contents) : fullSync(text, contents);
          const offered = parseFence(text);
          const { status } = await host.sync(sync);
          const now = host.core.held().fence;
          const mustRefuse =
            stored !== undefined && offered !== undefined && goesBack(stored, offered);
          expect(status).toBe(mustRefuse ? 409 : 200);
          expect(now).toEqual(mustRefuse ? stored : offered);
          stored = now;
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("the short form", () => {
  test("with the held manifest changes nothing on disk", async () => {
    const host = await createHost({ listed: { "a.conf": target({ reload: ["reload"] }) } });
    await host.sync(fullSync("1.1.1", { "a.conf": "one" }));
    const before = host.disk.stepCount;
    const { status, reply } = await host.sync(shortSync("1.1.1", { "a.conf": "one" }));
    expect([status, results(reply)]).toEqual([200, { "a.conf": "unchanged" }]);
    expect(host.disk.stepCount).toBe(before);
    expect(host.commands).toEqual(["reload"]);
  });

  test("repeats why the offered manifest is not held", async () => {
    const host = await createHost({
      listed: { "a.conf": target({ check: ["check"] }) },
      run: () => ({ kind: "exited", code: 1, output: "line 3: unknown directive" }),
    });
    await host.sync(fullSync("1.1.1", { "a.conf": "one" }));
    const { reply } = await host.sync(shortSync("1.1.1", { "a.conf": "one" }));
    expect(reply.configs).toEqual([
      { name: "a.conf", result: "rejected", message: "line 3: unknown directive" },
    ]);
    expect(host.commands).toEqual(["check"]);
    // It says nothing about another manifest.
    const other = await host.sync(shortSync("1.2.1", { "a.conf": "two" }));
    expect(other.reply.configs).toEqual([]);
  });
});

describe("state on disk", () => {
  test("a damaged state file stops the agent", async () => {
    const host = await createHost();
    await host.sync(fullSync("1.5.1", { "a.conf": "one" }));
    const text = host.disk.text("/agent/state") ?? "";
    for (const damaged of [text.replace("1.5.1", "1.4.1"), text.slice(0, -1), "", "{}"]) {
      host.disk.tamper("/agent/state", damaged);
      await expect(host.reopen()).rejects.toMatchObject({ code: "AGENT_STATE_CORRUPT" });
    }
    host.disk.tamper("/agent/state", text);
    await host.reopen();
    expect(host.core.held().fence).toEqual(parseFence("1.5.1"));
  });

  test.each([{ host: "h2" }, { cluster: "c2" }])(
    "a folder of another identity (%o) stops the agent",
    async (identity) => {
      const { disk, sync } = await createHost();
      await sync(fullSync("1.5.1", { "a.conf": "one" }));
      await expect(createHost({ disk, ...identity })).rejects.toMatchObject({
        code: "AGENT_STATE_CORRUPT",
      });
    },
  );

  test("a state report that is too large or fails is replaced by a note", async () => {
    const reports: (() => Record<string, unknown>)[] = [
      () => ({ blob: "x".repeat(limits.stateBytesMax) }),
      () => {
        throw new Error("sensor gone");
      },
    ];
    const host = await createHost({ reportState: () => reports.shift()?.() ?? {} });
    const first = await host.sync(shortSync("1.1.1", {}));
    expect(first.reply.state).toMatchObject({ truncated: true });
    const second = await host.sync(shortSync("1.1.1", {}));
    expect(second.reply.state).toEqual({ error: "sensor gone" });
  });
});

describe("one sync at a time", () => {
  test("syncs at once are carried out in order and more than a few are answered 503", async () => {
    let running = 0;
    let most = 0;
    const host = await createHost({
      waitingSyncsMax: 2,
      listed: { "a.conf": target({ reload: ["reload"] }) },
      run: async () => {
        running++;
        most = Math.max(most, running);
        await new Promise(setImmediate);
        running--;
        return good;
      },
    });
    const answers = await Promise.all(
      [1, 2, 3, 4, 5].map((fleet) =>
        host.core.handleSync(fullSync(`1.${fleet}.1`, { "a.conf": `content ${fleet}` })),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 503, 503]);
    expect(answers[4]).toMatchObject({ retryAfterSeconds: 1 });
    expect(most).toBe(1);
    expect(host.disk.text("/etc/app.conf")).toBe("content 3");
    expect((await host.sync(fullSync("1.6.1", { "a.conf": "six" }))).status).toBe(200);
  });
});
