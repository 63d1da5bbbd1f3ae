import { it } from "vitest";
import { TestCluster } from "./test-cluster.ts";
it("measures", async () => {
  for (const kind of ["kill", "freeze"] as const) for (const n of [2, 3, 5, 10]) {
    const times: number[] = [];
    for (let i = 0; i < 120; i++) {
      const cluster = new TestCluster({ seed: `m${i}` });
      cluster.latencyMs = i % 3 === 0 ? 40 : 8;
      const slots = "abcdefghij".slice(0, n).split("");
      await cluster.form(slots);
      await cluster.clock.advance((i * 37) % 1000);
      const victim = slots[i % n] ?? "a";
      cluster.node(victim)[kind]();
      times.push(await cluster.until(async () => !(await cluster.storedSlots()).includes(victim), 20000));
      cluster.node(victim).kill();
      await cluster.stop();
      if (cluster.clock.timerCount !== 0) throw new Error("timers");
    }
    times.sort((a, b) => a - b);
    console.log(kind, n, "p50", times[60], "p99", times[118], "max", times[119]);
  }
}, 300000);
it("chaos", async () => {
  const { createRandom } = await import("../kernel/random.ts");
  for (let i = 0; i < 60; i++) {
    const random = createRandom(`chaos${i}`);
    const cluster = new TestCluster({ seed: `c${i}` });
    const slots = ["a", "b", "c", "d", "e"];
    await cluster.form(slots);
    let life = 2;
    const versions: number[] = [];
    for (let step = 0; step < 25; step++) {
      const slot = slots[Math.floor(random.next() * 5)] ?? "a";
      const node = cluster.node(slot);
      const r = random.next();
      if (r < 0.2) { node.kill(); }
      else if (r < 0.4 && node.clock.state === "running") node.freeze();
      else if (r < 0.6 && node.clock.state === "frozen") node.thaw();
      else if (r < 0.7) node.storeState = random.next() < 0.5 ? "failing" : "hanging";
      else if (r < 0.8) node.storeState = "reachable";
      if ((node.clock.state === "gone" || node.status === "left" || node.status === "replaced") && random.next() < 0.5) { const f = cluster.add(slot, life++); f.isListening = random.next() < 0.5; f.start().catch((e: unknown) => console.log(i, slot, (e as Error).message)); }
      if (r > 0.9) void node.membership.leave();
      await cluster.clock.advance(random.next() * 9000);
      versions.push((await cluster.storedVersion()) ?? -1);
    }
    for (let k = 1; k < versions.length; k++) if ((versions[k] ?? 0) < (versions[k - 1] ?? 0)) throw new Error("version back");
    for (const slot of slots) { const n = cluster.node(slot); n.storeState = "reachable"; if (n.clock.state === "frozen") n.thaw(); n.isListening = true; }
    await cluster.clock.advance(35000);
    for (const slot of slots) { const n = cluster.node(slot); if (n.clock.state === "gone" || n.status === "left" || n.status === "replaced") { n.kill(); cluster.add(slot, life++).start().catch((e: unknown) => console.log("heal", i, slot, (e as Error).message)); } }
    await cluster.clock.advance(150000);
    const live = slots.filter((s) => cluster.node(s).status === "active" && cluster.node(s).membership.mayPush());
    const stored = await cluster.storedSlots();
    if (live.join() !== slots.join() || stored.join() !== slots.join()) console.log("seed", i, "live", live.join(), "stored", stored.join(), slots.map((s) => `${s}:${cluster.node(s).status}:${cluster.node(s).clock.state}`).join(" "));
    await cluster.stop();
    if (cluster.clock.timerCount !== 0) console.log("timers left", i, cluster.clock.timerCount);
  }
}, 300000);
