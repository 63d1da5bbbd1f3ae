import { once } from "node:events";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { basePorts } from "./demo-plan.ts";
import { planOnFreePorts } from "./free-ports.ts";

const size = { nodesCount: 1, hostsCount: 1 };

test("a port that was asked for and is taken is named; without a wish another base is chosen", async () => {
  const free = await planOnFreePorts("/demo", undefined, size);
  const base = free.nodes[0]?.apiPort ?? 0;
  const squatter = createServer().listen(base + 9, "127.0.0.1");
  await once(squatter, "listening");
  try {
    await expect(planOnFreePorts("/demo", base, size)).rejects.toMatchObject({
      code: "OPTION_INVALID",
      message: `Expected the ports from --port ${base} on to be free, but ${base + 9} is taken: name another, or none to let the demo choose`,
    });
    const other = await planOnFreePorts("/demo", undefined, size);
    expect(basePorts).toContain(other.nodes[0]?.apiPort);
    expect(other.nodes[0]?.apiPort).not.toBe(base);
  } finally {
    squatter.close();
    await once(squatter, "close");
  }
});
