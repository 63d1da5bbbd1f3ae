/**
 * The agent's own folder: one state file, and a copy of each content it holds.
 *
 * The copies make the agent independent of the control plane: a target that was changed or lost is
 * written again without anything being sent. A copy is used only where its digest is right.
 */
import { join } from "node:path";
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { digestOf, type Digest } from "../protocol/digest.ts";
import { limits } from "../protocol/limits.ts";
import { DiskError, writeDurable, type Disk } from "./disk.ts";
import {
  decodeState,
  encodeState,
  requireOwnState,
  stateFileBytesMax,
  type DurableState,
  type HeldRecord,
} from "./durable-state.ts";

const privateFile = { mode: 0o600 };

export class AgentStorage {
  readonly #disk: Disk;
  readonly #log: Logger;
  readonly #statePath: string;
  readonly #contentsFolder: string;
  /** Digest of the state file's bytes, so that an unchanged state is not written again. */
  #savedDigest: Digest | undefined;

  constructor(ports: { disk: Disk; log: Logger }, folder: string) {
    this.#disk = ports.disk;
    this.#log = ports.log;
    this.#statePath = join(folder, "state");
    this.#contentsFolder = join(folder, "contents");
  }

  /** Undefined where nothing was ever saved; AGENT_STATE_CORRUPT where it is not this host's. */
  async load(cluster: string, host: string): Promise<DurableState | undefined> {
    const bytes = await this.#readState();
    if (bytes === undefined) return undefined;
    const state = decodeState(bytes, this.#statePath);
    requireOwnState(state, cluster, host);
    this.#savedDigest = digestOf(bytes);
    return state;
  }

  /** Makes `state` durable; returns why it could not. */
  async save(state: DurableState): Promise<string | undefined> {
    const bytes = encodeState(state);
    const digest = digestOf(bytes);
    if (digest === this.#savedDigest) return undefined;
    // Forgotten while the outcome is open: after a failed write the file may be old or new.
    this.#savedDigest = undefined;
    const trouble = await this.#tryWrite(this.#statePath, bytes);
    if (trouble === undefined) this.#savedDigest = digest;
    return trouble;
  }

  /** Keeps a durable copy; returns why it could not. */
  async storeContent(digest: Digest, bytes: Uint8Array): Promise<string | undefined> {
    if ((await this.readContent(digest)) !== undefined) return undefined;
    return this.#tryWrite(this.#contentPath(digest), bytes);
  }

  /** Undefined where there is no copy, or only a damaged one. */
  async readContent(digest: Digest): Promise<Uint8Array | undefined> {
    try {
      const bytes = await this.#disk.read(this.#contentPath(digest), limits.contentBytesMax);
      return bytes !== undefined && digestOf(bytes) === digest ? bytes : undefined;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.#log.warn({ digest, error: messageOf(error) }, "stored content not readable");
      return undefined;
    }
  }

  /** Removes the copies that no config in `records` needs. */
  async collectGarbage(records: readonly HeldRecord[]): Promise<void> {
    const kept = new Set(records.map(({ digest }) => this.#contentPath(digest)));
    try {
      for (const name of await this.#disk.list(this.#contentsFolder)) {
        const path = join(this.#contentsFolder, name);
        if (!kept.has(path)) await this.#disk.discard(path);
      }
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      // Left-over copies cost space only; the next change tries again.
      this.#log.warn({ error: messageOf(error) }, "old contents not removed");
    }
  }

  async #readState(): Promise<Uint8Array | undefined> {
    try {
      return await this.#disk.read(this.#statePath, stateFileBytesMax);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      throw new CoxswainError("AGENT_STATE_CORRUPT", `Cannot read the state: ${error.message}`, {
        cause: error,
      });
    }
  }

  async #tryWrite(path: string, bytes: Uint8Array): Promise<string | undefined> {
    try {
      await writeDurable(this.#disk, path, bytes, privateFile);
      return undefined;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.#log.error({ path, error: messageOf(error) }, "cannot write");
      return messageOf(error);
    }
  }

  #contentPath(digest: Digest): string {
    return join(this.#contentsFolder, digest.slice("sha256:".length));
  }
}
