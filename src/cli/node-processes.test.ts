import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { argumentsOf, planProcesses, restartDelayMs, runProcesses } from "./node-processes.ts";

const options = {
  processes: 3,
  slot: "edge-a",
  apiPort: 7400,
  fleetPort: 7401,
  knockPort: 0,
  apiUrl: "",
  fleetUrl: "",
  store: "dynamodb",
} as const;

describe("the plan for several processes", () => {
  it("gives each a slot and ports of its own, and keeps the first as it was", () => {
    const plan = planProcesses({ ...options, knockPort: 7402 });
    expect(plan.map(({ slot }) => slot)).toEqual(["edge-a", "edge-a.2", "edge-a.3"]);
    expect(plan.map((own) => [own["apiPort"], own["fleetPort"], own["knockPort"]])).toEqual([
      ["7400", "7401", "7402"],
      ["7410", "7411", "7412"],
      ["7420", "7421", "7422"],
    ]);
  });

  it("leaves ports that are chosen by the machine, or not used, as they are", () => {
    const plan = planProcesses({ ...options, apiPort: 0 });
    expect(plan.map((own) => [own["apiPort"], own["knockPort"]])).toEqual([
      ["0", "0"],
      ["0", "0"],
      ["0", "0"],
    ]);
  });

  it.each([
    [{ store: "embedded" as const }, "a store that several processes reach"],
    [{ apiUrl: "http://a" }, "no `apiUrl` or `fleetUrl`"],
    [{ fleetUrl: "http://a" }, "no `apiUrl` or `fleetUrl`"],
    [{ apiPort: 65_530 }, "`apiPort` of at most 65535 for every process, got 65540"],
  ])("refuses what they cannot share: %j", (change, message) => {
    expect(() => planProcesses({ ...options, ...change })).toThrow(message);
  });

  it("passes on what was given, the own values last", () => {
    const given = { slot: "x", beatInterval: "2s", allowInsecureBind: true };
    expect(argumentsOf("/etc/c.yaml", given, { slot: "x.2", apiPort: "7410" })).toEqual(
      "node --config /etc/c.yaml --slot x.2 --beat-interval 2s --allow-insecure-bind --api-port 7410".split(
        " ",
      ),
    );
  });

  it("waits longer after each restart, half a minute at most", () => {
    expect([0, 1, 2, 20].map(restartDelayMs)).toEqual([1_000, 2_000, 4_000, 30_000]);
  });
});

describe("several processes", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "coxswain-processes-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** A program that notes each of its starts under the name it is given, then does `what`. */
  async function program(what: string) {
    const file = join(folder, "program.js");
    await writeFile(
      file,
      `const fs = require("fs"); const name = process.argv[2];
       process.once("disconnect", () => process.exit(9));
       process.on("SIGTERM", () => { fs.appendFileSync(${JSON.stringify(folder)} + "/log", "stop " + name + "\\n"); process.exit(0); });
       fs.appendFileSync(${JSON.stringify(folder)} + "/log", "start " + name + "\\n"); ${what}`,
    );
    const lines = async () => {
      const text = await readFile(join(folder, "log"), "utf8").catch(() => "");
      return text.split("\n").filter((line) => line !== "");
    };
    const until = async (count: number) => {
      for (let round = 0; round < 400 && (await lines()).length < count; round++) {
        await systemClock.sleep(25);
      }
      return lines();
    };
    const ended: string[] = [];
    const entry = pathToFileURL(file);
    const ports = { clock: systemClock, entry, onEnded: (line: string) => void ended.push(line) };
    return { ports, ended, until };
  }

  it("all get the signal to stop, and end with 0", async () => {
    const { ports, until } = await program("setInterval(() => {}, 1000);");
    const stopping = new AbortController();
    const running = runProcesses(ports, [["a"], ["b"]], stopping.signal);
    expect((await until(2)).toSorted()).toEqual(["start a", "start b"]);
    stopping.abort();
    expect(await running).toBe(0);
    expect((await until(4)).slice(2).toSorted()).toEqual(["stop a", "stop b"]);
  });

  it("are started again, one by one, after an end that nobody asked for", async () => {
    const { ports, ended, until } = await program(
      `if (name === "a") process.exit(3); setInterval(() => {}, 1000);`,
    );
    const stopping = new AbortController();
    const running = runProcesses(ports, [["a"], ["b"]], stopping.signal);
    const lines = await until(3);
    expect(lines.filter((line) => line === "start a")).toHaveLength(2);
    expect(lines.filter((line) => line === "start b")).toHaveLength(1);
    expect(ended[0]).toBe("a node process ended with 3; starting it again in 1000 ms");
    stopping.abort();
    await running;
  });

  it("end together where one ends for a reason that a restart does not mend", async () => {
    const { ports, until } = await program(
      `if (name === "a") setTimeout(() => process.exit(78), 300); else setInterval(() => {}, 1000);`,
    );
    const code = await runProcesses(ports, [["a"], ["b"]], new AbortController().signal);
    expect(code).toBe(78);
    expect(await until(3)).toContain("stop b");
  });
});
