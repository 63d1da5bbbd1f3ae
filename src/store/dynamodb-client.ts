/**
 * One client of DynamoDB: its sockets, the deadline of each call, and what is reported of it.
 *
 * The SDK makes one attempt a call; retries are the caller's decision, who knows what is urgent. One
 * exception: the store closes connections that rest, and a request may leave on one just then. A read that
 * lost its connection goes once more; writes are the caller's, because they may have landed.
 * The deadline is this module's own and covers everything from credentials to the last byte of the
 * answer, because the SDK's request timeout ends at the first header.
 */
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { systemClock, type Clock } from "../kernel/clock.ts";
import { CoxswainError } from "../kernel/errors.ts";
import {
  classifyFailure,
  failureOfRead,
  isConnectionLost,
  type StoreFailure,
  type StoreTarget,
} from "./dynamodb-errors.ts";
import type { ItemKind } from "./item-kind.ts";
import type { StoreCall } from "./store.ts";

/**
 * Told of every request: `outcome` is ok, refused, unknown or an error code; `capacityUnits` are what
 * the store says it charges (read units of reads, write units of writes); `kind` is what was asked for.
 */
export type StoreObserver = (
  call: StoreCall | "describeTable" | "createTable",
  outcome: string,
  seconds: number,
  capacityUnits: number,
  kind: ItemKind,
) => void;

/** Where the table is and how long a call may take. */
export interface DynamodbOptions {
  readonly table: string;
  /** AWS region; without one the SDK looks in its usual places. */
  readonly region?: string | undefined;
  /** URL of DynamoDB Local or the embedded store; AWS without one. */
  readonly endpoint?: string | undefined;
  /** Credentials; without them the SDK looks in its usual places. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** From the start of a request to the last byte of its answer. */
  readonly requestTimeoutMs: number;
  /** To a connection; half of `requestTimeoutMs` unless given, and must be below it. */
  readonly connectTimeoutMs?: number | undefined;
  /** Connections at most; further calls wait for one. 50 unless given. */
  readonly socketsMax?: number | undefined;
  readonly clock?: Clock;
  readonly onCall?: StoreObserver | undefined;
}

export type Answer<T> = { readonly kind: "answer"; readonly value: T } | StoreFailure;

type Capacity = { readonly CapacityUnits?: number };

/** Waiting for a socket is what `socketsMax` is for; the SDK would warn on the console. */
const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

/** Runs single SDK calls with a deadline and translates their failures. */
export class DynamodbConnection {
  readonly target: StoreTarget;
  readonly #client: DynamoDBClient;
  readonly #requestTimeoutMs: number;
  readonly #clock: Clock;
  readonly #onCall: StoreObserver | undefined;
  #isClosed = false;

  constructor(options: DynamodbOptions) {
    const { table, region, endpoint, credentials, requestTimeoutMs, socketsMax = 50 } = options;
    const { connectTimeoutMs = Math.ceil(requestTimeoutMs / 2) } = options;
    checkOptions(table, requestTimeoutMs, connectTimeoutMs);
    const agent = { keepAlive: true, maxSockets: socketsMax };
    this.target = { table, endpoint: endpoint ?? `DynamoDB ${region ?? ""}`.trim() };
    this.#requestTimeoutMs = requestTimeoutMs;
    this.#clock = options.clock ?? systemClock;
    this.#onCall = options.onCall;
    this.#client = new DynamoDBClient({
      maxAttempts: 1,
      ...(region !== undefined && { region }),
      ...(endpoint !== undefined && { endpoint }),
      ...(credentials !== undefined && { credentials }),
      requestHandler: {
        connectionTimeout: connectTimeoutMs,
        httpAgent: agent,
        httpsAgent: agent,
        logger: quiet,
      },
    });
  }

  /** Makes one request; never throws. */
  async run<T extends object>(
    call: Parameters<StoreObserver>[0],
    kind: ItemKind,
    request: (client: DynamoDBClient, options: { abortSignal: AbortSignal }) => Promise<T>,
    timeoutMs = this.#requestTimeoutMs,
  ): Promise<Answer<T>> {
    const startMs = this.#clock.monotonicMs();
    const answer = await this.#attempt(request, timeoutMs);
    const seconds = (this.#clock.monotonicMs() - startMs) / 1000;
    this.#onCall?.(call, outcomeOf(answer), seconds, unitsOf(answer), kind);
    return answer;
  }

  /** Makes a request that changes nothing, twice at most within the time of one; throws as Store's reads do. */
  async read<T extends object>(
    call: Parameters<StoreObserver>[0],
    kind: ItemKind,
    request: (client: DynamoDBClient, options: { abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    const endMs = this.#clock.monotonicMs() + this.#requestTimeoutMs;
    let answer = await this.run(call, kind, request);
    const leftMs = endMs - this.#clock.monotonicMs();
    if (answer.kind === "unknown" && isConnectionLost(answer.cause) && leftMs > 0) {
      answer = await this.run(call, kind, request, leftMs);
    }
    if (answer.kind === "answer") return answer.value;
    throw failureOfRead(answer, this.target);
  }

  close(): void {
    this.#isClosed = true;
    this.#client.destroy();
  }

  async #attempt<T>(
    request: (client: DynamoDBClient, options: { abortSignal: AbortSignal }) => Promise<T>,
    timeoutMs: number,
  ): Promise<Answer<T>> {
    if (this.#isClosed) {
      const error = new CoxswainError("STORE_UNAVAILABLE", "The store has been closed");
      return { kind: "notWritten", error };
    }
    const abort = new AbortController();
    const deadline = Promise.withResolvers<never>();
    const cancel = this.#clock.after(timeoutMs, () => {
      deadline.reject(new Error(`no answer within ${this.#requestTimeoutMs} ms`));
      abort.abort();
    });
    const sent = request(this.#client, { abortSignal: abort.signal });
    try {
      return { kind: "answer", value: await Promise.race([sent, deadline.promise]) };
    } catch (error) {
      return classifyFailure(error, this.target);
    } finally {
      cancel();
    }
  }
}

function checkOptions(table: string, requestTimeoutMs: number, connectTimeoutMs: number): void {
  if (!/^[A-Za-z0-9_.-]{3,255}$/.test(table)) {
    throw new CoxswainError(
      "OPTION_INVALID",
      `Expected \`table\` to be 3 to 255 letters, digits, \`_\`, \`-\` or \`.\`, got ${table}`,
    );
  }
  if (connectTimeoutMs >= requestTimeoutMs) {
    throw new CoxswainError(
      "OPTION_INVALID",
      `Expected \`connectTimeoutMs\` to be below \`requestTimeoutMs\` (${requestTimeoutMs}), got ${connectTimeoutMs}`,
    );
  }
}

function outcomeOf(answer: Answer<unknown>): string {
  if (answer.kind === "answer") return "ok";
  return answer.kind === "notWritten" ? answer.error.code : answer.kind;
}

/** A refused write is charged like one that is carried out, but its answer does not say how much. */
const refusedUnits = 1;

function unitsOf(answer: Answer<object>): number {
  if (answer.kind === "answer") return capacityOf(answer.value);
  return answer.kind === "refused" ? refusedUnits : 0;
}

/** Answers about items say what they cost, one sum a table; answers about tables do not. */
function capacityOf(answer: object): number {
  const { ConsumedCapacity: capacity = [] } = answer as {
    readonly ConsumedCapacity?: Capacity | Capacity[];
  };
  const parts = Array.isArray(capacity) ? capacity : [capacity];
  return parts.reduce((sum, part) => sum + (part.CapacityUnits ?? 0), 0);
}
