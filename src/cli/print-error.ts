/**
 * The one place where a command's failure becomes text on standard error and an exit code.
 *
 * People get `error CODE: message` and what to do next, programs the same as JSON. A defect shows its
 * stack; an interrupted command says nothing, its caller knows.
 */
import { CoxswainError, isCoxswainError, messageOf } from "../kernel/errors.ts";
import { paint, print, type CliContext } from "./cli-context.ts";
import { printable, printableLines } from "./format.ts";

/** Exit code of a command ended by Ctrl-C, as shells report it (128 + SIGINT). */
const interruptedExitCode = 130;

/** Writes `error` and returns the exit code. */
export function printError(context: CliContext, error: unknown, isJson: boolean): number {
  if (context.signal.aborted) return interruptedExitCode;
  const known = isCoxswainError(error)
    ? error
    : new CoxswainError("INTERNAL", messageOf(error), { cause: error });
  const { code, message, next, details } = known;
  if (isJson) {
    print(context.stderr, JSON.stringify({ error: { code, message, next, details } }));
    return known.exitCode;
  }
  print(context.stderr, `${paint(context.stderr, "red", `error ${code}:`)} ${printable(message)}`);
  print(context.stderr, `  next: ${next}`);
  if (known !== error && error instanceof Error) {
    print(context.stderr, printableLines(error.stack ?? "", "  "));
  }
  return known.exitCode;
}
