/**
 * Structured logging: the message is a constant string, data goes in fields.
 *
 * `info` is a change of state that a person wants to see once, `debug` is per turn, `warn` is
 * degraded but handled, `error` means that someone must act.
 */
import { pino } from "pino";

/** The part of pino that Coxswain uses. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}

/** Levels a person may choose; `silent` writes nothing. */
export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** JSON lines on standard error, one object a line, with `fields` in each. */
export function createLogger(level: LogLevel, fields: Record<string, unknown>): Logger {
  return pino(
    {
      level,
      base: fields,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: ["*.authorization", "*.token", "*.secretAccessKey"], censor: "[redacted]" },
    },
    pino.destination({ fd: 2, sync: true }),
  );
}

/** A logger that writes nothing. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};
