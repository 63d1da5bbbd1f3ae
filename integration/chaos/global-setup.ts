/**
 * Before the first scenario: is there an engine, and are the images built? After the last one: what
 * was measured is said, and nothing of the suite is left in the engine.
 */
import assert from "node:assert/strict";
import process from "node:process";
import type { TestProject } from "vitest/node";
import { Engine, engineTrouble } from "./engine.ts";
import { buildImages, toolsImage, type Images } from "./images.ts";
import { beginRun, describeRun } from "./run-record.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Null where no engine answers. */
    chaosImages: Images | null;
    /** Wall time after which no scenario begins that would not be over by then; null: there is time for all. */
    chaosEndsAtMs: number | null;
  }
}

/** Seconds for the whole suite; without it there is time for all. */
const secondsVariable = "CHAOS_SECONDS";

export default async function setUp(project: TestProject): Promise<(() => Promise<void>) | void> {
  const seconds = process.env[secondsVariable];
  project.provide("chaosEndsAtMs", seconds === undefined ? null : endsAtMs(seconds));
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

function endsAtMs(seconds: string): number {
  const isNumber = /^\d{1,6}$/.test(seconds);
  assert(isNumber, `Expected ${secondsVariable} to be a number of seconds, got ${seconds}`);
  return Date.now() + Number(seconds) * 1_000;
}
