import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CoxswainError } from "./errors.ts";
import {
  envName,
  flagName,
  formatDuration,
  parseDurationMs,
  resolveOptions,
  type OptionSources,
  type OptionTable,
} from "./options.ts";

const about = { description: "", reason: "" };
const table = {
  slot: { ...about, type: "text", default: "n1", pattern: /^[a-z0-9-]+$/ },
  note: { ...about, type: "text", default: "" },
  logLevel: { ...about, type: "choice", default: "info", choices: ["info", "warn"] },
  apiPort: { ...about, type: "integer", default: 7400, min: 0, max: 65_535 },
  beatInterval: { ...about, type: "duration", default: "1s", min: 50, max: 30_000 },
  isOpen: { ...about, type: "flag", default: false },
} as const satisfies OptionTable;

const resolve = (sources: OptionSources) => resolveOptions(table, sources);

function failureOf(sources: OptionSources): [string, string] {
  try {
    resolve(sources);
  } catch (error) {
    if (error instanceof CoxswainError) return [error.code, error.message];
    throw error;
  }
  throw new Error("it was accepted");
}

describe("where a value comes from", () => {
  const file = { slot: "from-file" };
  const env = { COXSWAIN_SLOT: "from-env" };
  const flags = { slot: "from-flag" };

  test.each<[OptionSources, string]>([
    [{}, "n1"],
    [{ file }, "from-file"],
    [{ file, env }, "from-env"],
    [{ file, env, flags }, "from-flag"],
    [{ file, flags }, "from-flag"],
    [{ file, env, flags: { slot: undefined } }, "from-env"],
    [{ file, env: { COXSWAIN_SLOT: undefined } }, "from-file"],
  ])("flags go before the environment, that before the file: %j gives %s", (sources, expected) => {
    expect(resolve(sources).slot).toBe(expected);
  });

  test("the result is complete, in base units and frozen", () => {
    const resolved = resolve({});
    expect(resolved).toEqual({
      slot: "n1",
      note: "",
      logLevel: "info",
      apiPort: 7400,
      beatIntervalMs: 1_000,
      isOpen: false,
    });
    expect(Object.isFrozen(resolved)).toBe(true);
  });

  test("a false flag is a value and not an absence", () => {
    expect(resolve({ file: { isOpen: true }, flags: { isOpen: false } }).isOpen).toBe(false);
  });

  test("names are spelled for each place", () => {
    expect([envName("beatInterval"), flagName("beatInterval")]).toEqual([
      "COXSWAIN_BEAT_INTERVAL",
      "--beat-interval",
    ]);
  });

  test("other variables of the environment are nobody's business", () => {
    expect(resolve({ env: { COXSWAIN_UNKNOWN: "1", PATH: "/bin" } }).slot).toBe("n1");
  });
});

describe("what is refused", () => {
  test.each(["sloot", "beatIntervalMs", "constructor", "toString", "__proto__"])(
    "the key %s of a file",
    (key) => {
      const file = JSON.parse(`{${JSON.stringify(key)}: 1}`) as Record<string, unknown>;
      expect(failureOf({ file })).toEqual([
        "OPTION_UNKNOWN",
        `Expected a key of the configuration file to be one of slot, note, logLevel, apiPort, beatInterval, isOpen, got \`${key}\``,
      ]);
    },
  );

  test.each<[OptionSources, string]>([
    [{ file: { slot: 5 } }, "Expected `slot` (from the configuration file) to be text, got 5"],
    [
      { file: { slot: null } },
      "Expected `slot` (from the configuration file) to be text, got null",
    ],
    [
      { flags: { slot: "A B" } },
      'Expected `slot` (from --slot) to be text that matches ^[a-z0-9-]+$, got "A B"',
    ],
    [
      { env: { COXSWAIN_LOG_LEVEL: "loud" } },
      'Expected `logLevel` (from COXSWAIN_LOG_LEVEL) to be one of info, warn, got "loud"',
    ],
    [
      { flags: { apiPort: "65536" } },
      'Expected `apiPort` (from --api-port) to be an integer from 0 to 65535, got "65536"',
    ],
    [
      { file: { apiPort: 1.5 } },
      "Expected `apiPort` (from the configuration file) to be an integer from 0 to 65535, got 1.5",
    ],
    [
      { env: { COXSWAIN_API_PORT: "" } },
      'Expected `apiPort` (from COXSWAIN_API_PORT) to be an integer from 0 to 65535, got ""',
    ],
    [
      { env: { COXSWAIN_API_PORT: "0x10" } },
      'Expected `apiPort` (from COXSWAIN_API_PORT) to be an integer from 0 to 65535, got "0x10"',
    ],
    [
      { flags: { beatInterval: "49ms" } },
      'Expected `beatInterval` (from --beat-interval) to be a duration from 50ms to 30s such as `10s` or `250ms`, got "49ms"',
    ],
    [
      { file: { beatInterval: "soon" } },
      'Expected `beatInterval` (from the configuration file) to be a duration from 50ms to 30s such as `10s` or `250ms`, got "soon"',
    ],
    [
      { file: { isOpen: "yes" } },
      'Expected `isOpen` (from the configuration file) to be true or false, got "yes"',
    ],
  ])("%j", (sources, message) => {
    expect(failureOf(sources)).toEqual(["OPTION_INVALID", message]);
  });

  test("what breaks a rule between options, with the rule's own words", () => {
    const rules = [
      ({ apiPort, beatIntervalMs }: { apiPort: number; beatIntervalMs: number }) =>
        apiPort > beatIntervalMs ? "Expected `apiPort` to be small" : undefined,
    ];
    expect(resolveOptions(table, { flags: { apiPort: 1_000 } }, rules).apiPort).toBe(1_000);
    expect(() => resolveOptions(table, { flags: { apiPort: 1_001 } }, rules)).toThrow(
      "Expected `apiPort` to be small",
    );
  });
});

describe("each type", () => {
  test.each<[OptionSources, object]>([
    [{ env: { COXSWAIN_API_PORT: "0" } }, { apiPort: 0 }],
    [{ flags: { apiPort: 65_535 } }, { apiPort: 65_535 }],
    [{ file: { beatInterval: 250 } }, { beatIntervalMs: 250 }],
    [{ env: { COXSWAIN_BEAT_INTERVAL: "1.5s" } }, { beatIntervalMs: 1_500 }],
    [{ env: { COXSWAIN_IS_OPEN: "1" } }, { isOpen: true }],
    [{ env: { COXSWAIN_IS_OPEN: "false" } }, { isOpen: false }],
    [{ flags: { logLevel: "warn" } }, { logLevel: "warn" }],
  ])("%j", (sources, expected) => {
    expect(resolve(sources)).toMatchObject(expected);
  });
});

describe("durations", () => {
  test.each<[unknown, number | undefined]>([
    ["250ms", 250],
    ["10s", 10_000],
    ["1.5s", 1_500],
    ["5m", 300_000],
    ["1h", 3_600_000],
    ["250", 250],
    [" 10s ", 10_000],
    [250, 250],
    [0, 0],
    [0.4, 0],
    ["0.4ms", 0],
    ["-1s", undefined],
    [-1, undefined],
    ["10 s", undefined],
    ["10S", undefined],
    ["1e3", undefined],
    ["s", undefined],
    ["", undefined],
    [Number.NaN, undefined],
    [Number.POSITIVE_INFINITY, undefined],
    [true, undefined],
    [null, undefined],
    [undefined, undefined],
  ])("%j is %s ms", (text, expected) => {
    expect(parseDurationMs(text)).toBe(expected);
  });

  test.each([
    [60_000, "1m"],
    [1_500, "1500ms"],
    [3_600_000, "1h"],
    [90_000, "90s"],
    [0, "0ms"],
  ])("%d is written %s", (durationMs, text) => {
    expect(formatDuration(durationMs)).toBe(text);
  });

  test("what is written is read back exactly", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e10 }), (durationMs) => {
        expect(parseDurationMs(formatDuration(durationMs))).toBe(durationMs);
      }),
    );
  });
});
