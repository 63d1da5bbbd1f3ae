/**
 * The object store that a URL names: `file:///folder`, `s3://bucket/prefix`, and for reading only
 * `http(s)://host/prefix`. Clients are loaded only where they are used: they are large.
 */
import { fileURLToPath } from "node:url";
import type { Clock } from "../kernel/clock.ts";
import { DirectoryStore } from "./directory-store.ts";
import type { ObjectReader, ObjectStore } from "./object-store.ts";

/** As in the options; empty or undefined: what the SDK finds in its usual places. */
export interface ObjectsPlace {
  readonly url: string;
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
}

/** Completes "Expected `objects` to be …". */
export const objectsUrlRule = "`file:///folder` or `s3://bucket/prefix`";
export const readableUrlRule = `${objectsUrlRule}, or an http or https URL to read from`;

/** No escapes: what they would stand for can be written as it is. */
const filePattern = /^file:\/\/\/[^?#%]+$/;
const s3Pattern =
  /^s3:\/\/(?<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(?<prefix>[A-Za-z0-9][A-Za-z0-9._-]*(?:\/[A-Za-z0-9][A-Za-z0-9._-]*)*))?\/?$/;
const webPattern = /^https?:\/\/[^/?#@\s]+(?:\/[^?#\s]*)?$/;

/** True for a URL of a store that can be read and written. */
export function isObjectsUrl(url: string): boolean {
  return (filePattern.test(url) && URL.canParse(url)) || s3Pattern.test(url);
}

/** True for a URL of a store that can at least be read. */
export function isReadableUrl(url: string): boolean {
  return isObjectsUrl(url) || (webPattern.test(url) && URL.canParse(url));
}

/** Opens without IO; the URL has passed `isObjectsUrl`. */
export async function openObjectStore(place: ObjectsPlace, clock: Clock): Promise<ObjectStore> {
  const { url, endpoint, region } = place;
  if (filePattern.test(url)) return new DirectoryStore(fileURLToPath(url), clock);
  const { bucket = "", prefix = "" } = s3Pattern.exec(url)?.groups ?? {};
  const { S3Store } = await import("./s3-store.ts");
  const given = { endpoint: endpoint || undefined, region: region || undefined };
  return new S3Store({ bucket, prefix, ...given }, clock);
}

/** Opens without IO; the URL has passed `isReadableUrl`. */
export async function openObjectReader(place: ObjectsPlace, clock: Clock): Promise<ObjectReader> {
  if (!webPattern.test(place.url)) return openObjectStore(place, clock);
  const { GatewayReader } = await import("./gateway-reader.ts");
  return new GatewayReader(place.url.replace(/\/+$/, ""), clock);
}
