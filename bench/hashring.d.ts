/** The part of the npm package `hashring` 3.2.0 that the benchmark uses; it has no types of its own. */
declare module "hashring" {
  export default class HashRing {
    constructor(servers: readonly string[]);
    /** Undefined where the ring is empty. */
    get(key: string): string | undefined;
  }
}
