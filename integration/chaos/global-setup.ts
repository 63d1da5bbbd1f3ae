/**
 * Before the first scenario: is there an engine, and are the images built? After the last one: what
 * was measured is said, and nothing of the suite is left in the engine.
 */
import type { TestProject } from "vitest/node";
import { Engine, engineTrouble } from "./engine.ts";
import { buildImages, toolsImage, type Images } from "./images.ts";
import { beginRun, describeRun } from "./run-record.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Null where no engine answers. */
    chaosImages: Images | null;
  }
}

export default async function setUp(project: TestProject): Promise<(() => Promise<void>) | void> {
  const trouble = await engineTrouble(toolsImage());
  if (trouble !== undefined) {
    console.warn(`chaos: every scenario is skipped: ${trouble}`);
    project.provide("chaosImages", null);
    return;
  }
  const images = await buildImages();
  const engine = await Engine.connect(images.tools);
  await engine.removeAll();
  await beginRun();
  project.provide("chaosImages", images);
  return async () => {
    await engine.removeAll();
    console.log(await describeRun());
  };
}
