/** Options as a command line has them, and the file that one of them may name. */
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { CoxswainError, isCoxswainError, messageOf } from "../kernel/errors.ts";

export interface RawOptions {
  readonly configFile?: string | undefined;
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Values of the configuration file; OPTION_INVALID where it cannot be read or is no mapping. */
export function readOptionFile(path: string | undefined): Record<string, unknown> {
  if (path === undefined) return {};
  const invalid = (message: string) =>
    new CoxswainError("OPTION_INVALID", `Expected --config ${path} to be readable: ${message}`);
  try {
    const values: unknown = parse(readFileSync(path, "utf8"), { maxAliasCount: 10 });
    if (typeof values !== "object" || values === null || Array.isArray(values)) {
      throw invalid("it must be a mapping of option names to values");
    }
    return { ...values };
  } catch (error) {
    throw isCoxswainError(error) ? error : invalid(messageOf(error));
  }
}
