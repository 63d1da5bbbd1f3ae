/**
 * The store an operator's options name: a DynamoDB endpoint, or an embedded one that is started here
 * and stopped with the process.
 */
import { CoxswainError } from "../kernel/errors.ts";
import type { StoreOptions } from "../node/options.ts";
import type { DynamodbOptions, StoreObserver } from "../store/dynamodb-client.ts";
import { startEmbeddedStore } from "../store/embedded-store.ts";
import { openStore, withDefaults } from "../store/open-store.ts";
import type { Store } from "../store/store.ts";

export interface ConnectedStore {
  readonly store: Store;
  /** For what needs the table itself: creating it. */
  readonly options: DynamodbOptions;
  /** For people: where the table is. */
  readonly place: string;
  close(): Promise<void>;
}

/** Opens the store; nothing is read yet. Throws OPTION_INVALID. */
export async function connectStore(
  options: StoreOptions,
  onCall?: StoreObserver,
): Promise<ConnectedStore> {
  if (options.store === "embedded" && options.storeEndpoint !== "") {
    throw new CoxswainError(
      "OPTION_INVALID",
      "Expected `storeEndpoint` to be empty with `store` embedded: the endpoint is this process's own",
    );
  }
  const embedded =
    options.store === "embedded" ? await startEmbeddedStore({ dir: options.storeDir }) : undefined;
  const endpoint = embedded?.endpoint ?? options.storeEndpoint;
  const dynamodb = withDefaults<DynamodbOptions>({
    table: options.storeTable,
    region: options.storeRegion === "" ? undefined : options.storeRegion,
    endpoint: endpoint === "" ? undefined : endpoint,
    requestTimeoutMs: options.storeTimeoutMs,
    onCall,
  });
  const store = openStore({ kind: "dynamodb", ...dynamodb });
  return {
    store,
    options: dynamodb,
    place: `table ${options.storeTable} at ${endpoint === "" ? "AWS" : endpoint}`,
    async close() {
      await store.close();
      await embedded?.stop();
    },
  };
}
