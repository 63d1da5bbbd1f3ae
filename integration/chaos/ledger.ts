/**
 * What was published to a cluster, in order, kept in a file: scenarios in other files, and so in other
 * processes, go on with the same cluster, and hosts' logs reach back to its beginning.
 */
import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Publication } from "./checker.ts";

const path = join(import.meta.dirname, "..", "..", ".cache", "chaos", "published.jsonl");

export class Ledger {
  readonly #published: Publication[];

  private constructor(published: Publication[]) {
    this.#published = published;
  }

  static async fresh(): Promise<Ledger> {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, "");
    return new Ledger([]);
  }

  static async resumed(): Promise<Ledger> {
    const lines = (await readFile(path, "utf8")).split("\n").filter((line) => line !== "");
    return new Ledger(lines.map((line) => JSON.parse(line) as Publication));
  }

  get published(): readonly Publication[] {
    return this.#published;
  }

  async add(publication: Publication): Promise<void> {
    this.#published.push(publication);
    await appendFile(path, `${JSON.stringify(publication)}\n`);
  }
}
