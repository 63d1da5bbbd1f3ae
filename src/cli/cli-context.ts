/**
 * What a command may touch: its two outputs, its input, the environment, a clock and one signal.
 *
 * Commands take this value instead of reading `process`, so that a test runs them in its own process
 * against a real server and reads what they print. `main.ts` makes the real one.
 */
import type { Readable, Writable } from "node:stream";
import { styleText } from "node:util";
import type { Clock } from "../kernel/clock.ts";

export interface TextOutput {
  readonly stream: Writable;
  /** True where a person watches; decides about progress bars and questions. */
  readonly isTerminal: boolean;
  /** False without a terminal and where NO_COLOR is set. */
  readonly hasColours: boolean;
  /** Size of the terminal; 80 x 24 where there is none. Read anew for each frame. */
  size(): { readonly columns: number; readonly rows: number };
}

export interface CliContext {
  readonly stdout: TextOutput;
  readonly stderr: TextOutput;
  readonly stdin: Readable;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Name of the account that runs the command; the default of `--actor`. */
  readonly userName: string;
  readonly clock: Clock;
  /** Aborted by Ctrl-C and SIGTERM; a second one ends the process at once. */
  readonly signal: AbortSignal;
  /** Asks a yes/no question on the terminal; undefined where nobody can answer. */
  readonly confirm: ((question: string) => Promise<boolean>) | undefined;
  /**
   * Calls `onKey` with each key pressed until the returned function is called; undefined without a
   * terminal. Ctrl-C is a key then, U+0003.
   */
  readonly readKeys: ((onKey: (key: string) => void) => () => void) | undefined;
}

export function print(output: TextOutput, text: string): void {
  output.stream.write(`${text}\n`);
}

export type Colour = "red" | "green" | "yellow" | "cyan" | "bold" | "dim";

/** `text` in a colour where `output` shows colours. */
export function paint(
  output: Pick<TextOutput, "hasColours">,
  colour: Colour,
  text: string,
): string {
  return output.hasColours ? styleText(colour, text, { validateStream: false }) : text;
}
