import { describe, expect, it } from "vitest";
import { KnockGate } from "./knock-gate.ts";

describe("knocks", () => {
  it("wake once for each counter, and never for one that goes back", () => {
    const gate = new KnockGate();
    expect(gate.take("h1", 5n, 0)).toBe("wake");
    expect(gate.take("h1", 5n, 2_000)).toBe("replayed");
    expect(gate.take("h1", 4n, 2_000)).toBe("replayed");
    expect(gate.take("h1", 6n, 2_000)).toBe("wake");
    expect(gate.take("h2", 1n, 2_000)).toBe("wake");
  });

  it("wake a host at most once a second, and the one that came too soon is not used up", () => {
    const gate = new KnockGate();
    expect(gate.take("h1", 1n, 0)).toBe("wake");
    expect(gate.take("h1", 2n, 999)).toBe("tooSoon");
    expect(gate.take("h1", 2n, 1_000)).toBe("wake");
  });

  it("are taken again from a host whose clock went back an hour ago", () => {
    const gate = new KnockGate();
    gate.take("h1", 100n, 0);
    expect(gate.take("h1", 1n, 60 * 60_000 - 1)).toBe("replayed");
    expect(gate.take("h1", 1n, 60 * 60_000)).toBe("wake");
  });

  it("of more hosts than are remembered forget the longest silent", () => {
    const gate = new KnockGate();
    for (let index = 0; index <= 200_000; index++) gate.take(`h${index}`, 1n, 0);
    expect(gate.take("h1", 1n, 0)).toBe("replayed");
    expect(gate.take("h0", 1n, 0)).toBe("wake");
  });
});
