/**
 * Loaded into every process that a test starts: when the test's process is gone, however it went, the
 * pipe on standard input closes and this one ends too. Nothing is left behind.
 */
import process from "node:process";

process.stdin.once("close", () => process.exit(1));
process.stdin.resume();
// Watching must not keep a process alive that is done.
process.stdin.unref();
