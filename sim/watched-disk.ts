/** A host's disk with someone watching: tells when a config's file changed, passes everything on. */
import { join } from "node:path";
import type { Disk } from "../src/agent/disk.ts";

const configsFolder = "/agent/configs";

/** Where the agent of the simulated hosts keeps the config of a name. */
export const configPath = (name: string): string => join(configsFolder, name);

export function watchDisk(disk: Disk, onChange: (path: string) => void): Disk {
  const watch = async (path: string, step: () => Promise<void>) => {
    await step();
    const isHidden = path.slice(configsFolder.length + 1).startsWith(".");
    if (path.startsWith(`${configsFolder}/`) && !isHidden) onChange(path);
  };
  return {
    read: (path, bytesMax) => disk.read(path, bytesMax),
    write: (path, bytes, attributes) => disk.write(path, bytes, attributes),
    rename: (from, to) => watch(to, () => disk.rename(from, to)),
    link: (existing, name) => disk.link(existing, name),
    remove: (path) => watch(path, () => disk.remove(path)),
    discard: (path) => disk.discard(path),
    list: (folder) => disk.list(folder),
  };
}
