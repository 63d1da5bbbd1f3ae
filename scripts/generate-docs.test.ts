import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { renderPages } from "./generate-docs.ts";

describe("generated pages", async () => {
  it.each(Object.entries(await renderPages()))(
    "%s is current (run `npm run docs`)",
    (path, text) => {
      expect(readFileSync(new URL(`../${path}`, import.meta.url), "utf8")).toBe(text);
    },
  );
});
