import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { digestOf } from "../protocol/digest.ts";
import { configResults, syncReplySchema } from "../protocol/sync.ts";
import { readUsualReply } from "./usual-reply.ts";

const digest = digestOf(Buffer.from("x"));
const usual = {
  host: "h1",
  boot: "b1",
  agent: "agent/1",
  fence: "1.2.3",
  view: "7",
  manifest: digest,
  configs: [{ name: "app.conf", digest, result: "applied" }],
};

/** JSON text of a reply that is right but for a few fields, or of anything. */
function replyText(): fc.Arbitrary<string> {
  const long = fc
    .constantFrom(20, 64, 128, 2_000)
    .chain((chars) =>
      fc.constantFrom("x".repeat(chars + 1), "é".repeat(chars), "😀".repeat(chars)),
    );
  const odd = fc.oneof(fc.jsonValue(), long, fc.constantFrom("../x", "", digest));
  const field = <Value>(right: fc.Arbitrary<Value>) =>
    fc.oneof({ weight: 40, arbitrary: right }, { weight: 1, arbitrary: odd });
  const text = fc.string({ maxLength: 10, unit: "grapheme-ascii" });
  const config = fc.record(
    {
      name: field(fc.constantFrom("a", "b/c.conf")),
      digest: field(fc.constant(digest)),
      result: field(fc.constantFrom(...configResults)),
      message: field(text),
      other: fc.jsonValue(),
    },
    { requiredKeys: ["name", "result"] },
  );
  const state = fc.dictionary(fc.constantFrom("a", "__proto__", "constructor"), fc.jsonValue());
  const reply = fc.record(
    {
      host: field(text),
      boot: field(text),
      agent: field(text),
      fence: field(text),
      view: field(text),
      manifest: field(fc.constant(digest)),
      configs: field(fc.array(config, { maxLength: 3 })),
      state: field(state),
      other: fc.jsonValue(),
    },
    { requiredKeys: ["host", "boot", "agent", "fence", "view", "manifest", "configs"] },
  );
  return fc.oneof(
    { weight: 1, arbitrary: fc.json() },
    { weight: 9, arbitrary: reply.map((made) => JSON.stringify(made)) },
  );
}

describe("the usual reply", () => {
  it("is read without the schema", () => {
    expect(readUsualReply(usual)).toEqual(usual);
    expect(readUsualReply({ ...usual, state: { load: [1] }, later: 1 })).toEqual({
      ...usual,
      state: { load: [1] },
    });
  });

  it("is never one that the schema refuses or reads in another way", () => {
    let readCount = 0;
    fc.assert(
      fc.property(replyText(), (text) => {
        const value: unknown = JSON.parse(text);
        const read = readUsualReply(value);
        if (read === undefined) return;
        readCount++;
        const parsed = syncReplySchema.safeParse(JSON.parse(text));
        expect(parsed.success && parsed.data).toEqual(read);
      }),
      { numRuns: 2_000 },
    );
    expect(readCount).toBeGreaterThan(200);
  });

  it.each([
    ["a field that is missing", { ...usual, boot: undefined }],
    ["a digest in capitals", { ...usual, manifest: digest.toUpperCase() }],
    ["a result of another version", { ...usual, configs: [{ name: "a", result: "later" }] }],
    [
      "too many configs",
      { ...usual, configs: Array.from({ length: 129 }, () => ({ name: "a", result: "applied" })) },
    ],
    ["a state that is a list", { ...usual, state: [] }],
  ])("is not %s", (_what, value) => {
    expect(readUsualReply(value)).toBeUndefined();
  });
});
