import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HostId } from "../inventory/host.ts";
import { digestOf } from "../protocol/digest.ts";
import { noteReply, readKnownReply } from "./known-reply.ts";
import { classifyExchange, type Expected } from "./outcome.ts";
import { readUsualReply } from "./usual-reply.ts";

const digest = digestOf(Buffer.from("x"));
const sent = { host: "h1" as HostId, manifest: digest, fenceText: "1.2.3" };
const usual = {
  host: "h1",
  boot: "b1",
  agent: "agent/1",
  fence: "1.2.3",
  view: "7",
  manifest: digest,
  configs: [{ name: "app.conf", digest, result: "applied" }],
};

function bytesOf(reply: unknown): Buffer {
  return Buffer.from(typeof reply === "string" ? reply : JSON.stringify(reply));
}

/** Two hosts have said it. */
function note(reply: unknown): void {
  const body = bytesOf(reply);
  const read = readUsualReply(JSON.parse(body.toString()));
  if (read === undefined) throw new Error("not a usual reply");
  noteReply(body, read);
  noteReply(body, read);
}

/** The text of `usual` with `tail` behind the manifest. */
function withTail(tail: string): string {
  return `${JSON.stringify(usual).split(',"configs":', 1).join("")}${tail}`;
}

describe("a reply that is known", () => {
  it("is read once two hosts have said the same behind the manifest", () => {
    const configs = [{ name: "once.conf", digest, result: "applied" }];
    const reply = { ...usual, configs };
    const body = bytesOf(reply);
    expect(readKnownReply(body, sent)).toBeUndefined();
    noteReply(body, reply as never);
    expect(readKnownReply(body, sent)).toBeUndefined();
    const other = bytesOf({ ...reply, host: "h2", boot: "b2", view: "8" });
    noteReply(other, { ...reply, host: "h2", boot: "b2", view: "8" } as never);
    expect(readKnownReply(body, sent)).toEqual(reply);
    const third = { ...reply, host: "h3", boot: "b3", agent: "agent/2", fence: "9.9.9", view: "0" };
    const sentThird = { host: "h3" as HostId, manifest: digest, fenceText: "9.9.9" };
    expect(readKnownReply(bytesOf(third), sentThird)).toEqual(third);
  });

  it("brings the state with it", () => {
    const reply = { ...usual, state: { load: [1, { health: "ok" }] } };
    note(reply);
    expect(readKnownReply(bytesOf(reply), sent)).toEqual(reply);
    expect(readKnownReply(bytesOf({ ...reply, state: { load: [2] } }), sent)).toBeUndefined();
  });

  it.each([
    ["another host's", { ...usual, host: "h2" }],
    ["of a host whose name is longer", { ...usual, host: "h11" }],
    ["of another manifest", { ...usual, manifest: digestOf(Buffer.from("y")) }],
    ["of another fence", { ...usual, fence: "1.2.4" }],
    ["of a longer fence", { ...usual, fence: "1.2.33" }],
    ["of a view that is no number", { ...usual, view: "07" }],
    ["with an escape in its boot", JSON.stringify(usual).replace('"b1"', String.raw`"b\u0031"`)],
    ["with a control character in its boot", JSON.stringify(usual).replace('"b1"', '"b\n1"')],
    ["with a boot that is too long", { ...usual, boot: "b".repeat(65) }],
    ["with an agent beyond ASCII", { ...usual, agent: "agent/é" }],
    ["in another order", Object.fromEntries(Object.entries(usual).toReversed())],
    ["with a blank more", JSON.stringify(usual, undefined, 1)],
    ["cut off", JSON.stringify(usual).slice(0, -1)],
    ["with more behind it", `${JSON.stringify(usual)} `],
    ["cut off in the boot", '{"host":"h1","boot":"b'],
    ["empty", ""],
  ])("is none that is %s", (_what, reply) => {
    note(usual);
    expect(readKnownReply(bytesOf(usual), sent)).toEqual(usual);
    expect(readKnownReply(bytesOf(reply), sent)).toBeUndefined();
  });

  it.each([
    ["the host once more", ',"configs":[],"host":"h1"}'],
    ["the boot once more", ',"configs":[],"boot":"b1"}'],
  ])("is not learnt from one that says %s", (_what, tail) => {
    note(withTail(tail));
    const later = withTail(tail).replace('"boot":"b1"', '"boot":"b2"');
    expect(readKnownReply(bytesOf(later), sent)).toBeUndefined();
  });

  it("is not learnt from bytes that mean something else in another encoding", () => {
    const reply = { ...usual, state: { name: "é" } };
    note(reply);
    const invalid = Buffer.from(JSON.stringify(reply), "latin1");
    expect(readKnownReply(invalid, sent)).toBeUndefined();
    expect(readKnownReply(bytesOf(reply), sent)).toBeUndefined();
  });

  it("is not kept where it is long", () => {
    const reply = { ...usual, state: { text: "x".repeat(5_000) } };
    note(reply);
    expect(readKnownReply(bytesOf(reply), sent)).toBeUndefined();
  });
});

describe("what is known of replies", () => {
  it("is bounded", () => {
    const replies = Array.from({ length: 100 }, (_, index) => ({ ...usual, state: { index } }));
    for (const reply of replies) note(reply);
    const known = replies.filter((reply) => readKnownReply(bytesOf(reply), sent) !== undefined);
    expect(known.length).toBeGreaterThan(0);
    expect(known.length).toBeLessThanOrEqual(64);
    expect(known).toContain(replies.at(-1));
  });

  it("never changes what a reply means", () => {
    const word = fc.constantFrom(
      "h1",
      "h11",
      "h2",
      "b1",
      'b"',
      "b\\",
      "7",
      "07",
      "1.2.3",
      "1.2.34",
    );
    const config = fc.constantFrom(
      { name: "a", digest, result: "applied" },
      { name: "a", digest, result: "unchanged" },
      { name: "a", result: "missing" },
      { name: "a", digest, result: "failed", message: "no" },
    );
    const either = <Value>(right: Value) =>
      fc.oneof(
        { weight: 8, arbitrary: fc.constant<unknown>(right) },
        { weight: 1, arbitrary: word },
      );
    const reply = fc.record(
      {
        host: either("h1"),
        boot: either("b1"),
        agent: either("agent/1"),
        fence: either("1.2.3"),
        view: either("7"),
        manifest: either(digest),
        configs: fc.array(config, { maxLength: 2 }),
        state: fc.constantFrom({}, { health: "ok" }, "no state"),
      },
      { requiredKeys: ["host", "boot", "agent", "fence", "view", "manifest", "configs"] },
    );
    const spoil = fc.option(
      fc.record({ at: fc.nat(400), by: fc.constantFrom(0, 0x22, 0x5c, 0x80, 0xe9) }),
    );
    let knownCount = 0;
    fc.assert(
      fc.property(reply, spoil, (made, spoilt) => {
        const body = bytesOf(made);
        if (spoilt !== null && spoilt.at < body.length) body[spoilt.at] = spoilt.by;
        const expected: Expected = { ...sent, form: "full" };
        const known = readKnownReply(body, expected);
        const outcome = classifyExchange(
          { kind: "reply", status: 200, retryAfterMs: undefined, body },
          // Without the fence that was sent it is not looked for.
          { host: sent.host, manifest: sent.manifest, form: "full" },
        );
        if (known === undefined) return;
        knownCount++;
        expect(outcome).toMatchObject({ kind: "synced", message: "", reply: known });
        expect(known).toEqual(outcome.reply);
      }),
      { numRuns: 3_000 },
    );
    expect(knownCount).toBeGreaterThan(200);
  });
});
