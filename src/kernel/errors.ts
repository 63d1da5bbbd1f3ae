/**
 * The error registry: one row a code, and one class for every operating error.
 *
 * Match on `code`, never on the message. A code is API: it is documented in docs/errors.md (a test
 * proves both lists equal) and is never reused for something else. Message form: name, rule, actual
 * value. Programmer errors are `node:assert` failures and are not in this list.
 */

interface ErrorRow {
  /** HTTP status when the error reaches an API caller. */
  readonly status: number;
  /** True where the same call may succeed later without anything being changed. */
  readonly retryable: boolean;
  /** Exit code of a command that ends with this error (sysexits where one fits). */
  readonly exitCode: number;
  /** What the person who sees it can do. */
  readonly next: string;
}

const row = (status: number, exitCode: number, next: string, retryable = false): ErrorRow => ({
  status,
  retryable,
  exitCode,
  next,
});

/** Every error code, its HTTP status, exit code and advice. */
export const errorRegistry = {
  OPTION_INVALID: row(400, 78, "Correct the option; `coxswain <command> --help` lists them."),
  OPTION_UNKNOWN: row(400, 78, "Remove the key or correct its spelling."),
  REQUEST_INVALID: row(400, 65, "Correct the request; the message names the field and the rule."),
  REQUEST_TOO_LARGE: row(413, 65, "Send less; docs/limits.md lists every limit."),
  NOT_FOUND: row(404, 66, "Check the path; /openapi.json lists what there is."),
  METHOD_NOT_ALLOWED: row(405, 65, "Use a method that the path supports; see /openapi.json."),
  INTERNAL: row(500, 70, "A defect in Coxswain: report it with the log lines around it."),
  SELECTOR_INVALID: row(400, 65, "Write the selector like `role=edge,zone in (a,b),!draining`."),
  HOST_INVALID: row(400, 65, "Correct the host; docs/limits.md lists patterns and limits."),
  HOST_NOT_FOUND: row(404, 66, "Add the host first: `coxswain hosts add`."),
  HOST_EXISTS: row(409, 73, "Use PUT to change a host, or another id."),
  HOST_ADDRESS_TAKEN: row(409, 73, "Give the host its own address or remove the other host."),
  HOST_CHANGED: row(409, 75, "Someone changed the host at the same moment: try again.", true),
  PARTITION_FULL: row(
    409,
    73,
    "Spread hosts over more partitions; P is chosen at `coxswain init`.",
  ),
  CONFIG_INVALID: row(400, 65, "Correct the name or the content; docs/limits.md lists the limits."),
  CONFIG_NOT_FOUND: row(404, 66, "Publish it first: `coxswain config put`."),
  RELEASE_NOT_FOUND: row(404, 66, "List what there is: `coxswain config ls NAME`."),
  RELEASE_DAMAGED: row(500, 74, "The stored content does not match its digest: put it again."),
  ROLLOUT_NOT_FOUND: row(404, 66, "List what there is: `coxswain rollout ls`."),
  ROLLOUT_SUPERSEDED: row(409, 73, "A newer rollout changed the same hosts: undo that one first."),
  RULES_FULL: row(409, 73, "Replace narrow rollouts by one with a wider selector."),
  IMPORT_FAILED: row(400, 65, "Correct the lines listed; the other lines were imported."),
  STORE_UNAVAILABLE: row(503, 75, "Check that the store is reachable and try again.", true),
  STORE_THROTTLED: row(503, 75, "The table is over its capacity: try again later.", true),
  STORE_DENIED: row(500, 77, "Give the process the rights listed in docs/operations.md."),
  STORE_UNKNOWN_OUTCOME: row(503, 75, "The write may have landed: read, then try again.", true),
  STORE_CORRUPT: row(500, 74, "An item does not have the shape this version writes: see its key."),
  STORE_CONTENDED: row(503, 75, "Many writers changed the same item: try again.", true),
  STORE_WENT_BACK: row(
    503,
    75,
    "The table lost items; nodes write back what they know: try again in a moment.",
    true,
  ),
  CLUSTER_NOT_INITIALISED: row(503, 78, "Run `coxswain init` once for this table."),
  CLUSTER_MISMATCH: row(409, 78, "Use the parameters the table was made with, or another table."),
  CLUSTER_SCHEMA_UNSUPPORTED: row(409, 78, "Run the version of Coxswain that wrote this table."),
  MEMBER_SLOT_TAKEN: row(409, 73, "Choose another --slot or stop the node that holds it."),
  MEMBER_NOT_FOUND: row(404, 66, "List the members: `coxswain members`."),
  MEMBER_LAST: row(409, 73, "Start another node first: nobody else would be left to push."),
  MEMBER_REPLACED: row(503, 75, "Another process took this slot; this one has stopped pushing."),
  MEMBER_UNREACHABLE: row(503, 75, "The node that owns the host does not answer: try again.", true),
  NODE_NOT_READY: row(503, 75, "The node has no view yet: try again in a second.", true),
  NODE_STOPPED: row(503, 75, "The node is stopping: ask another node.", true),
  HOST_UNPROVEN: row(401, 77, "Give the agent its key: `coxswain host-key` derives it."),
  PEER_UNPROVEN: row(401, 77, "Give every node the same `hostSecretFile`."),
  NODE_BUSY: row(503, 75, "The node has more callers than it can serve: come back as told.", true),
  AGENT_CONFIG_INVALID: row(400, 78, "Correct the agent's configuration file."),
  AGENT_STATE_CORRUPT: row(
    500,
    74,
    "Move the agent's state folder away; the node sends all again.",
  ),
  AGENT_LOCKED: row(409, 73, "Another agent uses this folder: stop it or choose another folder."),
  API_UNREACHABLE: row(503, 69, "Check --api (or COXSWAIN_API) and that a node runs there.", true),
  WAIT_TIMEOUT: row(
    504,
    75,
    "Not reached in time: `coxswain rollout show` says which hosts and why.",
  ),
  DEMO_FAILED: row(500, 70, "Read the logs in the folder that the demo kept."),
  INPUT_UNREADABLE: row(400, 66, "Check the path and the rights of the file."),
  USAGE_INVALID: row(400, 64, "`coxswain <command> --help` shows the arguments and examples."),
  OBJECTS_UNAVAILABLE: row(503, 75, "Check that the object store is reachable: `objects`.", true),
  OBJECTS_DENIED: row(500, 77, "Give the process the rights on the bucket: docs/operations.md."),
  LAB_FAILED: row(500, 70, "Run it again, with fewer hosts or on a machine with less to do."),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorRegistry;

/** An operating error: something a person or a caller can act on. */
export class CoxswainError extends Error {
  override readonly name = "CoxswainError";
  readonly code: ErrorCode;
  /** Plain data for programs: the field, the rule, the value, line numbers; never secrets. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }

  get retryable(): boolean {
    return errorRegistry[this.code].retryable;
  }

  get status(): number {
    return errorRegistry[this.code].status;
  }

  get exitCode(): number {
    return errorRegistry[this.code].exitCode;
  }

  get next(): string {
    return errorRegistry[this.code].next;
  }
}

/** True for a CoxswainError with one of `codes` (any code when none is named). */
export function isCoxswainError(error: unknown, ...codes: ErrorCode[]): error is CoxswainError {
  return error instanceof CoxswainError && (codes.length === 0 || codes.includes(error.code));
}

/** The text of anything thrown, for messages and logs. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
