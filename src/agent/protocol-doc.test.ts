import { readFile } from "node:fs/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { digestOf, manifestDigestOf } from "../protocol/digest.ts";
import { equalFences, goesBack, parseFence } from "../protocol/fence.ts";
import { configNamePattern, limits } from "../protocol/limits.ts";
import {
  configResults,
  helloSchema,
  syncHeaders,
  syncReplySchema,
  syncRequestSchema,
} from "../protocol/sync.ts";
import { createHost, results } from "./agent-fixture.ts";
import { headersOf } from "./sync-builder.ts";

let page = "";
beforeAll(async () => {
  page = await readFile(new URL("../../docs/protocol.md", import.meta.url), "utf8");
});

function jsonExamples(): unknown[] {
  return [...page.matchAll(/```json\n(.*?)```/gs)].map(([, text]): unknown =>
    JSON.parse(text ?? ""),
  );
}

/** Configs of the worked example's table. */
function examples() {
  const rows = page.matchAll(/^\| `([^`]+)` \| `("[^`]*")` \| (\d+) \| `(sha256:\w{64})` \|$/gm);
  return [...rows].map(([, name = "", content = "", size = "", digest = ""]) => ({
    name,
    content: JSON.parse(content) as string,
    size: Number(size),
    digest,
  }));
}

describe("docs/protocol.md", () => {
  test("its content digests and sizes are right", () => {
    expect(examples().length).toBe(3);
    for (const { name, content, size, digest } of examples()) {
      expect(name).toMatch(configNamePattern);
      expect([Buffer.byteLength(content), digestOf(Buffer.from(content))]).toEqual([size, digest]);
    }
  });

  test("its manifest text and digests are right", () => {
    const text = /```text\n(Zone.*?)```/s.exec(page)?.[1] ?? "";
    expect(digestOf(Buffer.from(text))).toBe(manifestDigestOf(examples()));
    const rows = [...page.matchAll(/^\| (nothing|`[^|]*`) \| `(sha256:\w{64})` \|$/gm)];
    expect(rows.length).toBe(3);
    for (const [, names = "", digest] of rows) {
      const chosen = examples().filter(({ name }) => names.includes(`\`${name}\``));
      expect(manifestDigestOf(chosen)).toBe(digest);
    }
  });

  test("its messages are what both ends read", async () => {
    const [short, full, reply, hello] = jsonExamples();
    expect(syncRequestSchema.safeParse(short).success).toBe(true);
    expect(syncReplySchema.parse(reply)).toEqual(reply);
    expect(helloSchema.parse(hello)).toEqual(hello);
    const host = await createHost();
    const applied = await host.sync({
      headers: headersOf({ fence: "1.402.9" }),
      body: syncRequestSchema.parse(full) as { manifest: string },
    });
    expect(results(applied.reply)).toEqual({ "nginx.conf": "applied" });
    expect(applied.reply.manifest).toBe(syncReplySchema.parse(reply).manifest);
  });

  test("its fence table is the rule", () => {
    const rows = [...page.matchAll(/^\| `(\d+\.\d+\.\d+)` \| (`\d[^|]*) \| (accept|409)/gm)];
    let pairCount = 0;
    for (const [, storedText = "", offeredTexts = "", answer] of rows) {
      const stored = parseFence(storedText);
      for (const [, offeredText = ""] of offeredTexts.matchAll(/`(\d+\.\d+\.\d+)`/g)) {
        const offered = parseFence(offeredText);
        if (stored === undefined || offered === undefined) throw new Error(offeredText);
        const isRefused =
          goesBack(stored, offered) ||
          (equalFences(stored, offered) && offeredTexts.includes("another manifest"));
        expect([offeredText, isRefused ? "409" : "accept"]).toEqual([offeredText, answer]);
        pairCount++;
      }
    }
    expect(pairCount).toBe(10);
  });

  test("it names every header and result, and the limits as they are", () => {
    const headers = [...page.matchAll(/^\| `(Coxswain-\w+)` \|/gm)].map(([, name]) =>
      name?.toLowerCase(),
    );
    expect(new Set(headers)).toEqual(new Set(Object.values(syncHeaders)));
    const listed = [...page.matchAll(/^\| `(\w+)` \| .* \| .* \|$/gm)].map(([, name]) => name);
    expect(listed).toEqual(expect.arrayContaining([...configResults]));
    for (const limit of [
      limits.contentBytesMax,
      limits.stateBytesMax,
      limits.syncReplyBytesMax,
      limits.syncRequestBytesMax,
      limits.syncCompressedBytesMax,
      limits.resultMessageCharsMax,
    ]) {
      expect(page).toContain(String(limit));
    }
  });
});
