/**
 * A disk in memory with the failures of a real one: for tests and the simulator.
 *
 * Names and file data each have a volatile and a durable copy. A Disk step is one or two sub-steps (the
 * change, then its fsync); a crash can be planned before any sub-step. After a crash only durable
 * copies are left, and of what was changed but not yet synced, `survives` decides: a real file
 * system may have written it back or not.
 */
import { dirname } from "node:path";
import { DiskError, type Disk, type FileAttributes } from "./disk.ts";

interface Inode {
  bytes: Uint8Array;
  attributes: FileAttributes;
  /** Bytes on stable storage; undefined before the first fsync. */
  durable: Uint8Array | undefined;
}

/** What may go wrong; every field may be changed at any time. */
export interface MemoryDiskFaults {
  /** Bytes of all files together; a write beyond it is refused. */
  capacityBytes: number;
  /** Sub-steps still carried out before the crash. */
  stepsUntilCrash: number;
  /** True while fsync says done and does nothing. */
  losesFsync: boolean;
  /** Called before each step; a DiskError thrown here is that step's outcome. */
  onStep: (step: { readonly kind: string; readonly path: string }) => void;
  /** Whether one unsynced change is found after a crash all the same. */
  survives: () => boolean;
}

export class MemoryDisk implements Disk {
  readonly faults: MemoryDiskFaults = {
    capacityBytes: Infinity,
    stepsUntilCrash: Infinity,
    losesFsync: false,
    onStep: () => {},
    survives: () => false,
  };
  #isDown = false;
  #stepCount = 0;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  /** The new name by the old one. */
  readonly #unsyncedRenames = new Map<string, string>();

  /** Sub-steps carried out since the start: the number of points at which a crash can fall. */
  get stepCount(): number {
    return this.#stepCount;
  }

  async read(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
    this.#requireUp();
    this.faults.onStep({ kind: "read", path });
    const bytes = this.#names.get(path)?.bytes;
    if (bytes !== undefined && bytes.length > bytesMax) {
      throw new DiskError(`Expected ${path} to have at most ${bytesMax} bytes`);
    }
    return bytes;
  }

  async write(path: string, bytes: Uint8Array, attributes: FileAttributes): Promise<void> {
    this.#step("write", path);
    const old = this.#names.get(path);
    if (this.#usedBytes() - (old?.bytes.length ?? 0) + bytes.length > this.faults.capacityBytes) {
      throw new DiskError(`ENOSPC: no space left on device, write '${path}'`);
    }
    // A fresh inode: another name of the old file keeps the old bytes.
    const inode: Inode = { bytes: Uint8Array.from(bytes), attributes, durable: undefined };
    this.#names.set(path, inode);
    this.#unsyncedRenames.delete(path);
    this.#passOrCrash();
    if (!this.faults.losesFsync) inode.durable = inode.bytes;
  }

  async rename(from: string, to: string): Promise<void> {
    this.#step("rename", to);
    const inode = this.#require(from);
    this.#names.set(to, inode);
    this.#names.delete(from);
    this.#unsyncedRenames.set(from, to);
    this.#fsync(to);
  }

  async link(existing: string, name: string): Promise<void> {
    this.#step("link", name);
    this.#names.set(name, this.#require(existing));
    this.#fsync(name);
  }

  async remove(path: string): Promise<void> {
    this.#step("remove", path);
    if (this.#names.delete(path)) this.#fsync(path);
  }

  async discard(path: string): Promise<void> {
    this.#step("discard", path);
    this.#names.delete(path);
  }

  async list(folder: string): Promise<string[]> {
    this.#requireUp();
    const prefix = `${folder}/`;
    return [...this.#names.keys()]
      .filter((path) => path.startsWith(prefix) && !path.slice(prefix.length).includes("/"))
      .map((path) => path.slice(prefix.length))
      .toSorted();
  }

  /** Changes a file behind the agent's back; undefined deletes it. */
  tamper(path: string, text: string | undefined): void {
    if (text === undefined) {
      this.#names.delete(path);
      this.#durableNames.delete(path);
      return;
    }
    const bytes = new TextEncoder().encode(text);
    const inode = { bytes, attributes: { mode: 0o644 }, durable: bytes };
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  text(path: string): string | undefined {
    const inode = this.#names.get(path);
    return inode === undefined ? undefined : new TextDecoder().decode(inode.bytes);
  }

  attributes(path: string): FileAttributes | undefined {
    return this.#names.get(path)?.attributes;
  }

  paths(): string[] {
    return [...this.#names.keys()].toSorted();
  }

  /** The power is back: what was durable is there, and what `survives` says. Faults are cleared. */
  restart(): void {
    const names = new Map<string, Inode>();
    const paths = new Set([...this.#names.keys(), ...this.#durableNames.keys()]);
    const survived = new Map<string, boolean>();
    for (const path of [...paths].toSorted()) {
      const [now, durable] = [this.#names.get(path), this.#durableNames.get(path)];
      if (now !== durable) {
        // Both names of a rename change at once, also on a disk that loses power: one answer for the two.
        const change = this.#unsyncedRenames.get(path) ?? path;
        survived.set(change, survived.get(change) ?? this.faults.survives());
        if (survived.get(change) === true) {
          if (now !== undefined) names.set(path, now);
          continue;
        }
      }
      if (durable !== undefined) names.set(path, durable);
    }
    this.#unsyncedRenames.clear();
    for (const inode of new Set(names.values())) {
      if (inode.durable !== undefined && !this.faults.survives()) inode.bytes = inode.durable;
      // A file whose data never was synced is found torn: its name survived, half of it did not.
      if (inode.durable === undefined) {
        inode.bytes = inode.bytes.slice(0, Math.floor(inode.bytes.length / 2));
      }
      inode.durable = inode.bytes;
    }
    this.#names = names;
    this.#durableNames = new Map(names);
    this.faults.stepsUntilCrash = Infinity;
    this.faults.losesFsync = false;
    this.#isDown = false;
  }

  #step(kind: string, path: string): void {
    this.#passOrCrash();
    this.faults.onStep({ kind, path });
  }

  #fsync(path: string): void {
    this.#passOrCrash();
    if (this.faults.losesFsync) return;
    // One fsync of the folder makes every name in it durable, as on a real file system.
    const folder = dirname(path);
    for (const known of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      if (dirname(known) !== folder) continue;
      const now = this.#names.get(known);
      if (now === undefined) this.#durableNames.delete(known);
      else this.#durableNames.set(known, now);
    }
    for (const from of this.#unsyncedRenames.keys()) {
      if (dirname(from) === folder) this.#unsyncedRenames.delete(from);
    }
  }

  #passOrCrash(): void {
    this.#requireUp();
    if (this.faults.stepsUntilCrash <= 0) {
      this.#isDown = true;
      this.#requireUp();
    }
    this.faults.stepsUntilCrash--;
    this.#stepCount++;
  }

  #requireUp(): void {
    if (this.#isDown) throw new Error("The machine has crashed; restart() brings it back");
  }

  #require(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw new DiskError(`ENOENT: no such file, '${path}'`);
    return inode;
  }

  #usedBytes(): number {
    let sum = 0;
    for (const inode of new Set(this.#names.values())) sum += inode.bytes.length;
    return sum;
  }
}
