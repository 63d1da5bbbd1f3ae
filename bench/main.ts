/** `npm run bench -- NAME [options]`: runs one benchmark; without a name it lists them. */
const benchmarks: Readonly<Record<string, { what: string; file: string }>> = {
  placement: {
    what: "balance, movement, time and memory against npm hashring",
    file: "./placement.ts",
  },
  push: { what: "pushes/s to 5,000 hosts against a plain undici loop", file: "./push.ts" },
  sizes: {
    what: "what the size of a content costs a push: the most that deltas could save",
    file: "./sizes.ts",
  },
  memory: { what: "resident memory per open host connection", file: "./memory.ts" },
  propagation: {
    what: "one-host change: API to durable apply, leg by leg",
    file: "./propagation.ts",
  },
  cost: { what: "capacity units of the table, idle and of a rollout", file: "./cost.ts" },
  import: {
    what: "import of hosts through the API against a bare BatchWriteItem loop",
    file: "./import.ts",
  },
  pace: { what: "the adapted pace while hosts get slow, as a curve", file: "./pace.ts" },
  scale: {
    what: "a million hosts on ten nodes: event-loop lag of what they compute",
    file: "./scale.ts",
  },
  restart: {
    what: "all agents at once, then the node: pace, goodput, time to calm",
    file: "./restart.ts",
  },
  peers: { what: "one change to all receivers beside NATS and etcd", file: "./peers.ts" },
  tarpit: {
    what: "goodput to healthy hosts while 20 % are dead or never answer",
    file: "./tarpit.ts",
  },
  knock: {
    what: "a knock against a TCP connect and a TLS handshake; pushes under a flood of forged ones",
    file: "./knock.ts",
  },
  reverse: {
    what: "hosts that open their connections: SIGKILL of a node, one change to all",
    file: "./reverse.ts",
  },
  processes: {
    what: "one release by one node process and by two: rate and processor time",
    file: "./processes.ts",
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
