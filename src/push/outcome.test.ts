import { describe, expect, it } from "vitest";
import type { HostId } from "../inventory/host.ts";
import type { Digest } from "../protocol/digest.ts";
import { classifyExchange, outcomePolicies, type OutcomeKind } from "./outcome.ts";
import type { ExchangeResult, FailureClass } from "./transport.ts";

const wanted: Digest = `sha256:${"a".repeat(64)}`;
const other: Digest = `sha256:${"b".repeat(64)}`;
const expected = { host: "h1" as HostId, manifest: wanted, form: "full" as const };

function reply(status: number, body: unknown, retryAfterMs?: number): ExchangeResult {
  return { kind: "reply", status, retryAfterMs, body: Buffer.from(JSON.stringify(body)) };
}

function syncReply(parts: object = {}): object {
  const rest = { boot: "b", agent: "a", fence: "1.2.3", view: "1", manifest: wanted, configs: [] };
  return { host: "h1", ...rest, ...parts };
}

const config = (result: string, name = "c") => ({ name, result, message: `${result} it` });

describe("classifyExchange", () => {
  const cases: readonly { what: string; result: ExchangeResult; kind: OutcomeKind }[] = [
    { what: "an answer that holds the manifest", result: reply(200, syncReply()), kind: "synced" },
    {
      what: "missing contents, also beside a refused config",
      result: reply(200, syncReply({ configs: [config("rejected"), config("missing", "d")] })),
      kind: "missing",
    },
    {
      what: "a refused config",
      result: reply(200, syncReply({ configs: [config("rejected")] })),
      kind: "rejected",
    },
    {
      what: "a config that could not be applied",
      result: reply(200, syncReply({ configs: [config("failed")] })),
      kind: "failed",
    },
    {
      what: "a config that could not be applied, also beside a refused one",
      result: reply(200, syncReply({ configs: [config("rejected"), config("failed", "d")] })),
      kind: "failed",
    },
    {
      what: "a full form answered with another manifest and no reason",
      result: reply(200, syncReply({ manifest: other })),
      kind: "failed",
    },
    {
      what: "another host's answer",
      result: reply(200, syncReply({ host: "h2" })),
      kind: "quarantined",
    },
    { what: "200 with something else", result: reply(200, { ok: true }), kind: "protocol" },
    {
      what: "200 with no JSON",
      result: { kind: "reply", status: 200, retryAfterMs: undefined, body: Buffer.from("<html>") },
      kind: "protocol",
    },
    { what: "409", result: reply(409, syncReply({ fence: "1.9.9" })), kind: "stale" },
    { what: "409 without a body", result: reply(409, {}), kind: "stale" },
    { what: "421", result: reply(421, {}), kind: "quarantined" },
    { what: "401", result: reply(401, {}), kind: "quarantined" },
    { what: "403", result: reply(403, {}), kind: "quarantined" },
    { what: "413", result: reply(413, {}), kind: "tooLarge" },
    { what: "422", result: reply(422, {}), kind: "unprocessable" },
    { what: "400", result: reply(400, {}), kind: "unprocessable" },
    { what: "429", result: reply(429, {}), kind: "busy" },
    { what: "503", result: reply(503, {}), kind: "busy" },
    { what: "500", result: reply(500, {}), kind: "failed" },
    { what: "a redirect", result: reply(302, {}), kind: "protocol" },
    { what: "404", result: reply(404, {}), kind: "protocol" },
  ];

  it.each(cases)("takes $what as $kind", ({ result, kind }) => {
    expect(classifyExchange(result, expected).kind).toBe(kind);
  });

  it("takes another manifest as a difference where only the short form was sent", () => {
    const result = reply(200, syncReply({ manifest: other }));
    expect(classifyExchange(result, { ...expected, form: "short" }).kind).toBe("differs");
  });

  it.each([
    ["1.2.3", "synced"],
    ["1.2.4", "synced"],
    ["1.2.x", "protocol"],
    ["", "protocol"],
  ])("takes a reply with the fence %j to what was sent with 1.2.3 as %s", (fence, kind) => {
    const result = reply(200, syncReply({ fence }));
    expect(classifyExchange(result, { ...expected, fenceText: "1.2.3" }).kind).toBe(kind);
  });

  it("gives the host's words, its fence, and the names it lacks", () => {
    const rejected = reply(200, syncReply({ configs: [config("rejected")] }));
    expect(classifyExchange(rejected, expected).message).toBe("c: rejected it");
    const stale = classifyExchange(reply(409, syncReply({ fence: "1.9.9" })), expected);
    expect(stale.hostFence).toEqual({ generation: 1, fleet: 9, host: 9 });
    const missing = reply(200, syncReply({ configs: [config("missing", "d")] }));
    expect(classifyExchange(missing, expected).missing).toEqual(["d"]);
    const refused = reply(422, { error: { code: "X", message: "too old" } });
    expect(classifyExchange(refused, expected).message).toContain("too old");
  });

  it("lets a host ask for at most five minutes of rest", () => {
    expect(classifyExchange(reply(503, {}, 30_000), expected).retryAfterMs).toBe(30_000);
    expect(classifyExchange(reply(503, {}, 9e9), expected).retryAfterMs).toBe(300_000);
  });

  it("bounds what a host can write into a message", () => {
    const result = reply(422, { error: { message: "x".repeat(60_000) } });
    expect(classifyExchange(result, expected).message).toHaveLength(500);
  });
});

describe("the outcome policies", () => {
  it("blame no host for local trouble, for being busy, or for a refused content", () => {
    for (const kind of ["local", "busy", "rejected", "failed", "stale"] as const) {
      expect(outcomePolicies[kind].countsAsUnreachable).toBe(false);
    }
  });

  it("count every way of not being reached", () => {
    const kinds: FailureClass[] = ["resolve", "refused", "timeout", "tls", "ambiguous", "protocol"];
    for (const kind of kinds) {
      expect(outcomePolicies[kind]).toMatchObject({
        countsAsUnreachable: true,
        isSignOfLife: false,
      });
    }
    expect(outcomePolicies.refused.capMs).toBeLessThan(outcomePolicies.timeout.capMs);
  });
});
