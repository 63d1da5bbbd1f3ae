import { describe, expect, test } from "vitest";
import { digestOf, manifestDigestOf } from "../protocol/digest.ts";
import { limits } from "../protocol/limits.ts";
import type { CommandOutcome } from "./command-runner.ts";
import { createHost, good, manifestOf, results, target } from "./agent-fixture.ts";
import { fullSync, headersOf, shortSync } from "./sync-builder.ts";

describe("applying", () => {
  test("an empty disk accepts anything, and stores what it answers", async () => {
    const host = await createHost();
    const contents = { "a.conf": "one", "routes/b.json": "{}" };
    const { status, reply } = await host.sync(fullSync("3.400.7", contents));
    expect(status).toBe(200);
    expect(reply).toMatchObject({
      host: "h1",
      fence: "3.400.7",
      view: "17",
      manifest: manifestOf(contents),
    });
    expect(results(reply)).toEqual({ "a.conf": "applied", "routes/b.json": "applied" });
    expect(host.disk.text("/agent/configs/routes/b.json")).toBe("{}");
    const { boot } = host.core.held();
    await host.reopen();
    expect(host.core.held()).toMatchObject({ manifest: manifestOf(contents) });
    expect(host.core.held().boot).not.toBe(boot);
  });

  test("check sees the candidate beside the target, reload the target, with its mode", async () => {
    const host = await createHost({
      listed: { "a.conf": target({ check: ["check", "-c={path}"], reload: ["go", "{path}"] }) },
    });
    await host.sync(fullSync("1.1.1", { "a.conf": "one" }));
    expect(host.commands).toEqual([
      "check -c=/etc/.app.conf.coxswain-candidate",
      "go /etc/app.conf",
    ]);
    expect(host.disk.attributes("/etc/app.conf")).toEqual({ mode: 0o640 });
    expect(host.disk.paths().filter((path) => path.startsWith("/etc"))).toEqual(["/etc/app.conf"]);
  });

  test("a sync sent again is unchanged and runs no command", async () => {
    const host = await createHost({
      listed: { "a.conf": target({ check: ["check"], reload: ["reload"] }) },
    });
    await host.sync(fullSync("1.1.1", { "a.conf": "one" }));
    const before = host.disk.stepCount;
    const { reply } = await host.sync(fullSync("1.1.1", { "a.conf": "one" }));
    expect(results(reply)).toEqual({ "a.conf": "unchanged" });
    expect(host.commands).toEqual(["check", "reload"]);
    expect(host.disk.stepCount).toBe(before);
  });

  test("a rejected check keeps the old file and answers with the program's own words", async () => {
    const host = await createHost({
      listed: { "a.conf": target({ check: ["check", "{path}"] }) },
      run: ({ argv }) =>
        host.disk.text(argv[1] ?? "") === "bad"
          ? { kind: "exited", code: 1, output: `unknown directive in ${argv[1]}:1\n\u001b[0m` }
          : good,
    });
    await host.sync(fullSync("1.1.1", { "a.conf": "good" }));
    const { reply } = await host.sync(fullSync("1.2.1", { "a.conf": "bad", "b.conf": "b" }));
    expect(results(reply)).toEqual({ "a.conf": "rejected", "b.conf": "applied" });
    expect(reply.configs[0]).toMatchObject({
      digest: digestOf(Buffer.from("good")),
      message: "unknown directive in /etc/app.conf:1\n[0m",
    });
    expect(reply.manifest).toBe(manifestOf({ "a.conf": "good", "b.conf": "b" }));
    expect(host.disk.text("/etc/app.conf")).toBe("good");
  });

  test("a short sync is told what came of the last try, unless another process made it", async () => {
    const host = await createHost({
      listed: { "a.conf": target({ check: ["check", "{path}"] }) },
      run: () => ({ kind: "exited", code: 1, output: "no" }),
    });
    await host.sync(fullSync("1.1.1", { "a.conf": "bad" }));
    const ask = () => host.sync(shortSync("1.1.1", { "a.conf": "bad" }));
    expect(results((await ask()).reply)).toEqual({ "a.conf": "rejected" });
    await host.reopen();
    expect(results((await ask()).reply)).toEqual({});
    await host.sync(fullSync("1.1.1", { "a.conf": "bad" }));
    expect(results((await ask()).reply)).toEqual({ "a.conf": "rejected" });
  });

  test.each<[CommandOutcome, RegExp]>([
    [{ kind: "timedOut", output: "" }, /did not end within 1000 ms/],
    [{ kind: "notStarted", message: "ENOENT" }, /could not be started: ENOENT/],
    [{ kind: "killed", signal: "SIGSEGV", output: "" }, /ended by SIGSEGV/],
  ])("a check that gave no verdict (%o) is failed, not rejected", async (outcome, message) => {
    const host = await createHost({
      listed: { "a.conf": target({ check: ["check"] }) },
      run: () => outcome,
    });
    const { reply } = await host.sync(fullSync("1.1.1", { "a.conf": "one" }));
    expect(reply.configs[0]?.result).toBe("failed");
    expect(reply.configs[0]?.message).toMatch(message);
    expect(host.disk.text("/etc/app.conf")).toBeUndefined();
  });

  test("a failed reload restores the old content and reloads again", async () => {
    const host = await createHost({
      listed: { "a.conf": target({ reload: ["reload", "{path}"] }) },
      run: ({ argv }) =>
        host.disk.text(argv[1] ?? "") === "bad"
          ? { kind: "exited", code: 1, output: "port in use" }
          : good,
    });
    await host.sync(fullSync("1.1.1", { "a.conf": "good" }));
    const { reply } = await host.sync(fullSync("1.2.1", { "a.conf": "bad" }));
    expect(reply.configs).toEqual([
      {
        name: "a.conf",
        digest: digestOf(Buffer.from("good")),
        result: "failed",
        message: "port in use",
      },
    ]);
    expect(host.disk.text("/etc/app.conf")).toBe("good");
    expect(host.commands.length).toBe(3);
    expect(host.disk.paths().filter((path) => path.startsWith("/etc"))).toEqual(["/etc/app.conf"]);
  });

  test("a failed first reload brings back the file that was there before the agent", async () => {
    const host = await createHost({
      listed: { "a.conf": target({ reload: ["reload"] }) },
      run: () => ({ kind: "exited", code: 1, output: "no" }),
    });
    host.disk.tamper("/etc/app.conf", "from the distribution");
    const { reply } = await host.sync(fullSync("1.1.1", { "a.conf": "one" }));
    expect(results(reply)).toEqual({ "a.conf": "failed" });
    expect(reply.configs[0]?.message).toMatch(/^no\nThe old content was restored; its reload/);
    expect(host.disk.text("/etc/app.conf")).toBe("from the distribution");
  });

  test("a name that is no longer listed is removed and its program reloaded", async () => {
    const host = await createHost({ listed: { "a.conf": target({ reload: ["reload"] }) } });
    await host.sync(fullSync("1.1.1", { "a.conf": "one", "b.conf": "two" }));
    const { reply } = await host.sync(fullSync("1.2.1", {}));
    expect(results(reply)).toEqual({ "a.conf": "removed", "b.conf": "removed" });
    expect(reply.manifest).toBe(manifestDigestOf([]));
    expect(host.disk.paths()).toEqual(["/agent/state"]);
    expect(host.commands).toEqual(["reload", "reload"]);
    expect(results((await host.sync(fullSync("1.2.1", {}))).reply)).toEqual({});
  });

  test("a removal whose reload fails keeps the file", async () => {
    const host = await createHost({
      listed: { "a.conf": target({ reload: ["reload"] }) },
      run: () =>
        host.disk.text("/etc/app.conf") === undefined
          ? { kind: "exited", code: 1, output: "needs its config" }
          : good,
    });
    await host.sync(fullSync("1.1.1", { "a.conf": "one" }));
    const { reply } = await host.sync(fullSync("1.2.1", {}));
    expect(reply.configs[0]).toMatchObject({ result: "failed", message: "needs its config" });
    expect(host.disk.text("/etc/app.conf")).toBe("one");
    expect(reply.manifest).toBe(manifestOf({ "a.conf": "one" }));
  });

  test("an unlisted name is rejected where only listed ones are accepted", async () => {
    const host = await createHost({ acceptUnlisted: false, listed: { "a.conf": target() } });
    const { reply } = await host.sync(fullSync("1.1.1", { "a.conf": "one", "b.conf": "two" }));
    expect(results(reply)).toEqual({ "a.conf": "applied", "b.conf": "rejected" });
  });

  test("64 configs with the longest names and messages fit in one reply", async () => {
    const names = Array.from({ length: 64 }, (_, index) =>
      `${index}-`.padEnd(limits.configNameCharsMax, "n"),
    );
    const listed = (prefix: string) =>
      names.map((name) => [`${prefix}${name}`.slice(0, limits.configNameCharsMax), "x"] as const);
    const old = Object.fromEntries(listed("a"));
    const next = Object.fromEntries(listed("b"));
    const noisy = "\u00e9\n".repeat(limits.resultMessageCharsMax);
    const host = await createHost({
      listed: Object.fromEntries(
        Object.keys(next).map((name) => [name, target({ path: `/etc/${name}`, check: ["check"] })]),
      ),
      reportState: () => ({ blob: "x".repeat(limits.stateBytesMax - 20) }),
      run: () => ({ kind: "exited", code: 1, output: noisy }),
    });
    await host.sync(fullSync("1.1.1", old));
    const { reply, body } = await host.sync(fullSync("1.2.1", next));
    expect(reply.configs.length).toBe(128);
    expect(reply.state).toHaveProperty("blob");
    expect(Buffer.byteLength(JSON.stringify(body))).toBeLessThanOrEqual(limits.syncReplyBytesMax);
  });
});

describe("contents", () => {
  test.each([
    ["truncated", { content: "on" }, /3 bytes, got 2/],
    ["tampered", { content: "owe" }, /the digest sha256:\w+, got sha256:/],
    ["in another encoding", { encoding: "base64" as const }, /3 bytes, got 2/],
  ])("%s content is failed and the old content stays", async (_what, damage, message) => {
    const host = await createHost();
    await host.sync(fullSync("1.1.1", { "a.conf": "old" }));
    const sync = fullSync("1.2.1", { "a.conf": "one" });
    const configs = sync.body.configs?.map((config) => ({ ...config, ...damage }));
    const answer = await host.sync({ ...sync, body: { ...sync.body, configs: configs ?? [] } });
    expect(answer.reply.configs[0]).toMatchObject({
      result: "failed",
      digest: digestOf(Buffer.from("old")),
    });
    expect(answer.reply.configs[0]?.message).toMatch(message);
    expect(host.disk.text("/agent/configs/a.conf")).toBe("old");
    // The same release whole is applied: damage on the way is not the release's fault.
    expect(results((await host.sync(sync)).reply)).toEqual({ "a.conf": "applied" });
  });

  test("one that the host lacks and that was not sent is missing; the others are applied", async () => {
    const host = await createHost();
    const contents = { "a.conf": "one", "b.conf": "two" };
    const { reply } = await host.sync(fullSync("1.1.1", contents, ["a.conf"]));
    expect(results(reply)).toEqual({ "a.conf": "missing", "b.conf": "applied" });
    expect(reply.manifest).toBe(manifestOf({ "b.conf": "two" }));
    const again = await host.sync(fullSync("1.1.1", contents, ["b.conf"]));
    expect(results(again.reply)).toEqual({ "a.conf": "applied", "b.conf": "unchanged" });
    expect(again.reply.manifest).toBe(manifestOf(contents));
  });

  test("binary content travels as base64", async () => {
    const host = await createHost();
    const bytes = Buffer.from([0, 255, 1, 254]);
    const config = {
      name: "a.bin",
      digest: digestOf(bytes),
      size: 4,
      content: bytes.toString("base64"),
      encoding: "base64" as const,
    };
    const body = { manifest: manifestDigestOf([config]), configs: [config] };
    const { reply } = await host.sync({ headers: headersOf(), body });
    expect(results(reply)).toEqual({ "a.bin": "applied" });
    expect(await host.disk.read("/agent/configs/a.bin", 10)).toEqual(Uint8Array.from(bytes));
  });

  test("only contents that are held are kept", async () => {
    const host = await createHost();
    await host.sync(fullSync("1.1.1", { "a.conf": "one" }));
    await host.sync(fullSync("1.2.1", { "a.conf": "two" }));
    expect(await host.disk.list("/agent/contents")).toEqual([
      digestOf(Buffer.from("two")).slice("sha256:".length),
    ]);
  });
});

describe("drift", () => {
  test.each(["edited by hand", undefined])("a file that became %o is not held", async (local) => {
    const host = await createHost({ listed: { "a.conf": target({ reload: ["reload"] }) } });
    await host.sync(fullSync("1.1.1", { "a.conf": "one" }));
    host.disk.tamper("/etc/app.conf", local);
    const short = await host.sync(shortSync("1.1.1", { "a.conf": "one" }));
    expect(short.reply.manifest).toBe(manifestDigestOf([]));
    expect(short.reply.configs).toEqual([
      {
        name: "a.conf",
        result: "unchanged",
        message: "/etc/app.conf was changed on this machine",
      },
    ]);
    // The host still has a copy of the content, so that the node need not send it.
    const full = await host.sync(fullSync("1.1.1", { "a.conf": "one" }, ["a.conf"]));
    expect(results(full.reply)).toEqual({ "a.conf": "applied" });
    expect(host.disk.text("/etc/app.conf")).toBe("one");
    expect(host.commands).toEqual(["reload", "reload"]);
  });

  test("a damaged copy is never used", async () => {
    const host = await createHost();
    await host.sync(fullSync("1.1.1", { "a.conf": "one" }));
    host.disk.tamper("/agent/configs/a.conf", undefined);
    const [copy] = await host.disk.list("/agent/contents");
    host.disk.tamper(`/agent/contents/${copy}`, "damaged");
    const { reply } = await host.sync(fullSync("1.1.1", { "a.conf": "one" }, ["a.conf"]));
    expect(results(reply)).toEqual({ "a.conf": "missing" });
  });
});
