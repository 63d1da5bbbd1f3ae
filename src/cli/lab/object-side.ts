/**
 * The control plane of the object shape: renders each host's config at its pace into a file that the
 * host reads by itself. Reading costs the control plane nothing.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DueHosts } from "./due-hosts.ts";
import { hostName, type Scene } from "./lab-scene.ts";
import { PacedRenderer, type RenderCounter } from "./paced-renderer.ts";
import type { Render } from "./renderer.ts";

export function objectPath(dir: string, host: number): string {
  return join(dir, hostName(host));
}

export function createObjectSide(
  scene: Scene,
  render: Render,
  counter: RenderCounter,
): PacedRenderer {
  const due = new DueHosts(scene.hosts, scene.intervalMs);
  const draft = join(scene.dir, ".draft");
  return new PacedRenderer(scene, {
    render,
    counter,
    deliver: (host, text) => {
      // Renamed whole: a reader sees the old one or the new one.
      writeFileSync(draft, text);
      renameSync(draft, objectPath(scene.dir, host));
    },
    due: (atMs) => due.take(atMs),
  });
}
