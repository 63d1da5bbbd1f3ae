/**
 * What a failed DynamoDB call means, decided once here from the SDK's errors.
 *
 * The question is always whether a write may have landed. An answer with a 4xx status, or a
 * connection that never came up, says no; a timeout, a reset, a 5xx or anything unknown says maybe.
 */
import { CoxswainError, messageOf, type ErrorCode } from "../kernel/errors.ts";

/** How one call failed. */
export type StoreFailure =
  /** The condition of a write did not hold. */
  | { readonly kind: "refused" }
  /** The store certainly did not write. */
  | { readonly kind: "notWritten"; readonly error: CoxswainError }
  /** No answer that says what happened. */
  | { readonly kind: "unknown"; readonly cause: Error };

/** Where calls go, for messages. */
export interface StoreTarget {
  readonly table: string;
  readonly endpoint: string;
}

const codesByName: Readonly<Record<string, ErrorCode>> = {
  ProvisionedThroughputExceededException: "STORE_THROTTLED",
  ThrottlingException: "STORE_THROTTLED",
  Throttling: "STORE_THROTTLED",
  ThrottledException: "STORE_THROTTLED",
  RequestLimitExceeded: "STORE_THROTTLED",
  TooManyRequestsException: "STORE_THROTTLED",
  LimitExceededException: "STORE_THROTTLED",
  AccessDeniedException: "STORE_DENIED",
  UnrecognizedClientException: "STORE_DENIED",
  InvalidSignatureException: "STORE_DENIED",
  IncompleteSignatureException: "STORE_DENIED",
  MissingAuthenticationTokenException: "STORE_DENIED",
  InvalidClientTokenId: "STORE_DENIED",
  ExpiredTokenException: "STORE_DENIED",
  NotAuthorized: "STORE_DENIED",
  OptInRequired: "STORE_DENIED",
  CredentialsProviderError: "STORE_DENIED",
  TokenProviderError: "STORE_DENIED",
  ResourceNotFoundException: "CLUSTER_NOT_INITIALISED",
  ValidationException: "INTERNAL",
  SerializationException: "INTERNAL",
};

/** Says what `thrown`, which came from the SDK, means for the caller. */
export function classifyFailure(thrown: unknown, target: StoreTarget): StoreFailure {
  const cause = thrown instanceof Error ? thrown : new Error(messageOf(thrown));
  if (cause instanceof CoxswainError) return { kind: "notWritten", error: cause };
  if (cause.name === "ConditionalCheckFailedException") return { kind: "refused" };
  const status = httpStatus(cause);
  if (status !== undefined && status >= 500 && codesByName[cause.name] !== "STORE_THROTTLED") {
    return { kind: "unknown", cause };
  }
  const code = codeOf(cause, status);
  if (code === undefined) return { kind: "unknown", cause };
  return { kind: "notWritten", error: storeError(code, cause, target) };
}

/** The same failure where nothing can have been written: a read, or a call that changes nothing. */
export function failureOfRead(failure: StoreFailure, target: StoreTarget): CoxswainError {
  if (failure.kind === "notWritten") return failure.error;
  const cause =
    failure.kind === "unknown" ? failure.cause : new Error("condition of a read failed");
  return storeError("STORE_UNAVAILABLE", cause, target);
}

/** True where the connection of a request ended before its answer, which is no verdict on the store. */
export function isConnectionLost(cause: Error): boolean {
  const { code } = cause as NodeJS.ErrnoException;
  return code === "ECONNRESET" || code === "EPIPE";
}

function codeOf(cause: Error, status: number | undefined): ErrorCode | undefined {
  if (Object.hasOwn(codesByName, cause.name)) return codesByName[cause.name];
  if (isRegionMissing(cause)) return "OPTION_INVALID";
  if (status !== undefined && status >= 400) return "STORE_UNAVAILABLE";
  return isNeverSent(cause) ? "STORE_UNAVAILABLE" : undefined;
}

function storeError(code: ErrorCode, cause: Error, target: StoreTarget): CoxswainError {
  const details = { table: target.table, endpoint: target.endpoint, reason: cause.name };
  return new CoxswainError(code, messageFor(code, cause, target), { details, cause });
}

function messageFor(code: ErrorCode, cause: Error, { table, endpoint }: StoreTarget): string {
  const reason = reasonOf(cause);
  const texts: Partial<Record<ErrorCode, string>> = {
    CLUSTER_NOT_INITIALISED: `Expected table \`${table}\` to exist at ${endpoint}, found none`,
    STORE_THROTTLED: `Table \`${table}\` at ${endpoint} is over its capacity: ${reason}`,
    STORE_DENIED: `Access to table \`${table}\` at ${endpoint} was denied: ${reason}`,
    OPTION_INVALID: "Expected `region` (or AWS_REGION) to be set for DynamoDB, got none",
    INTERNAL: `Table \`${table}\` at ${endpoint} refused a request as malformed: ${reason}`,
  };
  return texts[code] ?? `Table \`${table}\` at ${endpoint} did not answer: ${reason}`;
}

/** An AggregateError of several addresses has no message of its own. */
function reasonOf(cause: Error): string {
  const first = cause instanceof AggregateError ? (cause.errors[0] as unknown) : cause;
  const message = messageOf(first);
  return message === "" ? cause.name : message;
}

function httpStatus(error: Error): number | undefined {
  const { $metadata, $response } = error as {
    readonly $metadata?: { readonly httpStatusCode?: number };
    readonly $response?: { readonly statusCode?: number };
  };
  return $metadata?.httpStatusCode ?? $response?.statusCode;
}

/** True where no connection came up, so that no byte of the request left this process. */
function isNeverSent(error: Error): boolean {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors.every((each) => each instanceof Error && isNeverSent(each));
  }
  const { syscall } = error as NodeJS.ErrnoException;
  if (syscall === "connect" || syscall === "getaddrinfo") return true;
  // The SDK gives its connect timeout no code; its text is all there is.
  return error.name === "TimeoutError" && error.message.includes("did not establish a connection");
}

function isRegionMissing(error: Error): boolean {
  return error.message === "Region is missing";
}
