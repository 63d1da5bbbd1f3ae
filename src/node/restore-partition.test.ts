import { describe, expect, test } from "vitest";
import { parseHostInput, type HostId } from "../inventory/host.ts";
import { HostStore } from "../inventory/hosts.ts";
import { importHosts } from "../inventory/import-hosts.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { keys } from "../store/store.ts";
import { hostId } from "./node-fixture.ts";
import { restorePartition, type Suspicion } from "./restore-partition.ts";

const partition = 0;
const lost: Suspicion = { isLost: true, reappeared: new Map() };
const doubted: Suspicion = { isLost: false, reappeared: new Map() };
const isHost = (sk: string) => sk.startsWith("host#");

const ways = ["alone", "imported"] as const;

/** Hosts are registered alone, with an item each, or by imports, into packs. */
function createFor(way: (typeof ways)[number]) {
  const store = new MemoryStore();
  const hosts = new HostStore({ store, partitionOf: () => partition });
  const put = async (id: string, address = `http://${id}:9000`): Promise<void> => {
    const input = parseHostInput({ id, address });
    if (way === "alone") await hosts.put(input);
    else await importHosts(hosts, [{ line: 1, input }], { onExisting: "update" });
  };
  const known = async () => {
    const { revision, hosts: records } = await hosts.load(partition);
    return { revision, hosts: new Map(records.map((record) => [record.id, record])) };
  };
  const stored = async () => (await known()).hosts;
  return { store, hosts, put, known, stored };
}

describe.each(ways)("writing a partition back, its hosts registered %s,", (way) => {
  const create = () => createFor(way);

  test("returns what is missing or older with its number, leaves what is newer, moves the counter", async () => {
    const { store, hosts, put, known, stored } = create();
    await put("same");
    await put("older");
    const backup = store.dump();
    await put("older", "http://moved:9000");
    await put("gone");
    const before = await known();
    store.restore(backup);
    for (let count = 0; count < 4; count++) await put("newer", `http://newer${count}:9000`);
    await restorePartition(hosts, partition, before, lost);
    const after = await stored();
    for (const id of ["same", "older", "gone"] as HostId[]) {
      expect(after.get(id)).toEqual(before.hosts.get(id));
    }
    expect(after.get(hostId("newer"))?.address).toBe("http://newer3:9000");
    expect((await known()).revision).toBeGreaterThan(before.revision);
  });

  test("gives a host that is there again a number that its machine cannot have seen", async () => {
    const { store, hosts, put, known, stored } = create();
    await put("h");
    const backup = store.dump();
    await put("h", "http://moved:9000");
    const { revision: seen = 0 } = (await stored()).get(hostId("h")) ?? {};
    await hosts.delete(hostId("h"));
    const before = await known();
    store.restore(backup);
    await restorePartition(hosts, partition, before, lost);
    expect((await stored()).get(hostId("h"))?.revision).toBeGreaterThan(seen);
  });

  test("where one number has two records, the known one wins under a new number", async () => {
    const { store, hosts, put, known, stored } = create();
    await put("h");
    const backup = store.dump();
    await put("h", "http://known:9000");
    const before = await known();
    store.restore(backup);
    await put("h", "http://other:9000");
    expect((await known()).revision).toBe(before.revision);
    await restorePartition(hosts, partition, before, doubted);
    const after = (await stored()).get(hostId("h"));
    expect(after?.address).toBe("http://known:9000");
    expect(after?.revision).toBeGreaterThan(before.revision);
  });

  test("starts again where the table is emptied between the records and the counter", async () => {
    const { store, hosts, put, known, stored } = create();
    for (const id of ["a", "b", "c"]) await put(id);
    const before = await known();
    store.restore([]);
    let writes = 0;
    store.faults = {
      after: (call, { sk }) => {
        if (call === "put" && isHost(sk) && ++writes === 3) store.restore([]);
      },
    };
    await restorePartition(hosts, partition, before, lost);
    expect(await stored()).toEqual(before.hosts);
  });

  test("that is emptied every time is an error, not a success", async () => {
    const { store, hosts, put, known } = create();
    await put("a");
    const before = await known();
    store.faults = {
      after: (call, { sk }) => {
        if (call === "put" && isHost(sk)) store.restore([]);
      },
    };
    store.restore([]);
    const restoring = restorePartition(hosts, partition, before, lost);
    await expect(restoring).rejects.toMatchObject({ code: "STORE_WENT_BACK" });
  });

  test("on a mere doubt writes nothing where no record went back, not even what was removed", async () => {
    const { store, hosts, put, known } = create();
    await put("a");
    await put("b");
    const before = await known();
    await hosts.delete(hostId("b"));
    const items = store.dump();
    await restorePartition(hosts, partition, before, doubted);
    expect(store.dump()).toEqual(items);
    expect(await store.get(keys.host(partition, "b"))).toBeUndefined();
  });
});
