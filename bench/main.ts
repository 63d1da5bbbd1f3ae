/** `npm run bench -- NAME [options]`: runs one benchmark; without a name it lists them. */
const benchmarks: Readonly<Record<string, { what: string; file: string }>> = {
  placement: {
    what: "balance, movement, time and memory against npm hashring",
    file: "./placement.ts",
  },
  push: { what: "pushes/s to 5,000 hosts against a plain undici loop", file: "./push.ts" },
  memory: { what: "resident memory per open host connection", file: "./memory.ts" },
  propagation: {
    what: "one-host change: API to durable apply, leg by leg",
    file: "./propagation.ts",
  },
  takeover: { what: "SIGKILL of a node to every host current again", file: "./takeover.ts" },
};

const [name = "", ...args] = process.argv.slice(2);
const chosen = benchmarks[name];
if (chosen === undefined) {
  const lines = Object.entries(benchmarks).map(([key, { what }]) => `  ${key.padEnd(14)}${what}`);
  console.error(`Usage: npm run bench -- NAME [options]\n\n${lines.join("\n")}`);
  process.exitCode = 64;
} else {
  const { run } = (await import(chosen.file)) as { run: (args: string[]) => Promise<void> };
  await run(args);
}
