/**
 * Exit codes, as `coxswain --help` lists them; the registry decides which error has which.
 */
import { errorRegistry } from "../kernel/errors.ts";

const meanings: Readonly<Record<number, string>> = {
  0: "done",
  1: "a question was answered with no, or doctor found something to fix",
  64: "wrong usage: unknown command, option or argument",
  65: "bad input: a host, selector, content or line is not valid",
  66: "not found",
  69: "no node answers at --api",
  70: "a defect in Coxswain",
  73: "conflict with what is there",
  74: "stored data is damaged",
  75: "try again: timeout, busy or changing",
  77: "the store denies access",
  78: "wrong configuration",
  130: "ended by Ctrl-C",
};

/** One line a code, ascending; a registry code without a meaning is a defect. */
export function exitCodeHelp(): string {
  const known = new Set(Object.keys(meanings).map(Number));
  for (const { exitCode } of Object.values(errorRegistry)) {
    if (!known.has(exitCode)) throw new Error(`exit code ${exitCode} has no meaning`);
  }
  const lines = Object.entries(meanings).map(
    ([code, meaning]) => `  ${code.padStart(3)}  ${meaning}`,
  );
  return `\nExit codes:\n${lines.join("\n")}`;
}
