#!/usr/bin/env node
// Starts Coxswain on Node 24 or newer, whatever Node runs this file. The program is TypeScript that Node
// itself runs, which older versions cannot; the npm package `node` brings a new one along, and where this
// process is too old it starts that one with the same arguments, input, output and signals.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const nodeMajorMin = 24;
const entry = new URL("../src/cli/main.ts", import.meta.url);

/** The binary of the npm package `node`, beside this package or above it; undefined without one. */
function findNode() {
  try {
    const packageFile = createRequire(import.meta.url).resolve("node/package.json");
    const binary = join(
      dirname(packageFile),
      "bin",
      process.platform === "win32" ? "node.exe" : "node",
    );
    return existsSync(binary) ? binary : undefined;
  } catch {
    return undefined; // Not installed: the message below says what to do.
  }
}

function runWith(binary) {
  const stdio = process.connected ? ["inherit", "inherit", "inherit", "ipc"] : "inherit";
  const child = spawn(binary, [fileURLToPath(entry), ...process.argv.slice(2)], { stdio });
  // A terminal signals the whole group; a supervisor signals this process only, so pass it on.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  process.once("disconnect", () => child.disconnect());
  child.once("error", (error) => fail(`${binary}: ${error.message}`));
  child.once("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 0);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function fail(message) {
  process.stderr.write(`error OPTION_INVALID: ${message}\n`);
  process.exit(78);
}

if (Number.parseInt(process.versions.node, 10) >= nodeMajorMin) {
  await import(entry.href);
} else {
  const binary = findNode();
  if (binary === undefined) {
    fail(
      `Expected Node ${nodeMajorMin} or newer, got ${process.versions.node}\n  next: install it, or run \`npm install\` in ${fileURLToPath(new URL("..", import.meta.url))}, which brings it along`,
    );
  } else {
    runWith(binary);
  }
}
