import { expect, it, test } from "vitest";
import type { HostMode } from "../protocol/host-mode.ts";
import { requireNoWeakerFallback } from "./mode-strength.ts";

type Settings = Parameters<typeof requireNoWeakerFallback>[1];

const key = Buffer.alloc(32);
const oneEnd = { key: "k", cert: "c" };
const mutual = { ...oneEnd, ca: "a" };
const plain: Settings = { nodes: ["http://n1"], tls: undefined, key: undefined };
const safe: Settings = { nodes: ["https://n1"], tls: mutual, key };

test.each<[readonly HostMode[], Settings]>([
  [["dial", "poll"], plain],
  [["dial", "poll"], { ...plain, key }],
  [["poll", "dial"], { ...safe, key: undefined, tls: oneEnd }],
  [["dial", "reverse", "poll", "knock"], safe],
  [["dial", "object"], { ...safe, object: { url: "s3://bucket" } }],
  [["object", "dial"], { ...plain, object: { url: "http://gateway" } }],
  [["dial"], plain],
])("%j is taken where what comes later is as strong", (modes, settings) => {
  expect(() => requireNoWeakerFallback(modes, settings)).not.toThrow();
});

test.each<[readonly HostMode[], Settings, string, string]>([
  [
    ["dial", "poll"],
    { ...safe, key: undefined },
    "dial (proof of both ends",
    "got poll (TLS of one",
  ],
  [
    ["dial", "poll"],
    { ...safe, nodes: ["http://n1"] },
    "dial (proof of",
    "poll (a key without TLS)",
  ],
  [["dial", "poll"], { ...safe, nodes: [] }, "dial", "poll (a key without TLS)"],
  [["dial", "reverse"], { ...safe, nodes: ["https://n1", "http://n2"] }, "dial", "reverse (a key"],
  [["poll", "dial"], { ...plain, key }, "poll (a key without TLS)", "dial (no proof): set `tls`"],
  [
    ["dial", "poll", "knock"],
    { ...safe, tls: undefined },
    "poll (proof of both",
    "knock (no proof)",
  ],
  [
    ["dial", "object"],
    { ...safe, object: { url: "https://gateway" } },
    "dial",
    "object (TLS of one",
  ],
  [
    ["dial", "object"],
    { ...safe, object: { url: "s3://bucket", endpoint: "http://minio" } },
    "dial",
    "object (a key without TLS)",
  ],
])("%j is refused where a later mode is weaker: %#", (modes, settings, better, worse) => {
  const check = () => requireNoWeakerFallback(modes, settings);
  expect(check).toThrow(better);
  expect(check).toThrow(worse);
});

it("the refusal is an error of the configuration", () => {
  let code = "";
  try {
    requireNoWeakerFallback(["dial", "poll"], { ...safe, key: undefined });
  } catch (error) {
    code = (error as { code: string }).code;
  }
  expect(code).toBe("AGENT_CONFIG_INVALID");
});
