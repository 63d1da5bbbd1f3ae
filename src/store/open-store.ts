/**
 * Opens the store an operator named, with credentials where the SDK would find none.
 *
 * DynamoDB Local and the embedded store check no credentials, but the SDK signs nothing without
 * some. Made-up ones are used only where they cannot leave the machine and replace nobody's own.
 */
import { isIPv4 } from "node:net";
import { CoxswainError } from "../kernel/errors.ts";
import type { DynamodbOptions } from "./dynamodb-client.ts";
import { DynamodbStore } from "./dynamodb-store.ts";

/** Variables with which the environment names credentials of its own. */
const credentialVariables = [
  "AWS_ACCESS_KEY_ID",
  "AWS_PROFILE",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

export interface StoreOptions extends DynamodbOptions {
  readonly kind: "dynamodb";
}

type Environment = Readonly<Record<string, string | undefined>>;

/** A store ready for use; nothing is sent before the first call. */
export function openStore(options: StoreOptions, environment?: Environment): DynamodbStore {
  return new DynamodbStore(withDefaults(options, environment));
}

/** Adds what a loopback endpoint needs: dummy credentials and a region. Others stay as they are. */
export function withDefaults<Options extends DynamodbOptions>(
  options: Options,
  environment: Environment = process.env,
): Options {
  if (options.endpoint === undefined || !isLoopback(options.endpoint)) return options;
  const isKnown = credentialVariables.some((name) => (environment[name] ?? "") !== "");
  const isRegionKnown =
    options.region !== undefined ||
    (environment["AWS_REGION"] ?? environment["AWS_DEFAULT_REGION"] ?? "") !== "";
  return {
    ...options,
    ...(!isRegionKnown && { region: "us-east-1" }),
    ...(!isKnown &&
      options.credentials === undefined && {
        credentials: { accessKeyId: "local", secretAccessKey: "local" },
      }),
  };
}

function isLoopback(endpoint: string): boolean {
  const url = URL.parse(endpoint);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new CoxswainError(
      "OPTION_INVALID",
      `Expected \`endpoint\` to be an http or https URL, got ${endpoint}`,
    );
  }
  const { hostname } = url;
  if (hostname === "localhost" || hostname === "[::1]") return true;
  return isIPv4(hostname) && hostname.startsWith("127.");
}
