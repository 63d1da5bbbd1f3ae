import { describe, expect, it } from "vitest";
import { manifestDigestOf } from "../protocol/digest.ts";
import { heldInSync } from "./held-state.ts";
import { copyOf, newStatus } from "./host-status.ts";

const manifest = { digest: manifestDigestOf([]), configs: [] };
const fence = { generation: 1, fleet: 2, host: 3 };

describe("what hosts share", () => {
  it("is one object for all that are in sync at one fence, and another for another fence", () => {
    const held = heldInSync(manifest, fence);
    expect(held).toEqual({ manifest: manifest.digest, fence, configs: [], problems: [] });
    expect(heldInSync(manifest, fence)).toBe(held);
    expect(heldInSync(manifest, { ...fence, host: 4 })).not.toBe(held);
    expect(heldInSync({ ...manifest }, fence)).not.toBe(held);
  });

  it("is the absence of trouble, again after trouble that is over", () => {
    const well = newStatus();
    const failing = copyOf(well);
    failing.failingSinceMs = 7;
    failing.failures = 1;
    expect(failing.settle().trouble).not.toBe(well.trouble);
    expect([failing.failures, failing.failingSinceMs, well.failures]).toEqual([1, 7, 0]);
    const recovered = copyOf(failing);
    recovered.failures = 0;
    expect(recovered.settle().trouble).toBe(well.trouble);
    expect(failing.failures).toBe(1);
  });
});
