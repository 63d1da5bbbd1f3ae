/**
 * Before the first scenario: is there an engine, and are the images built? After the last one:
 * nothing of the suite is left in the engine.
 */
import type { TestProject } from "vitest/node";
import { Engine, engineTrouble } from "./engine.ts";
import { baseImage, buildImages, type Images } from "./images.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Null where no engine answers. */
    chaosImages: Images | null;
  }
}

export default async function setUp(project: TestProject): Promise<(() => Promise<void>) | void> {
  const trouble = await engineTrouble(baseImage());
  if (trouble !== undefined) {
    console.warn(`chaos: every scenario is skipped: ${trouble}`);
    project.provide("chaosImages", null);
    return;
  }
  const images = await buildImages();
  const engine = await Engine.connect(images.base);
  await engine.removeAll();
  project.provide("chaosImages", images);
  return () => engine.removeAll();
}
