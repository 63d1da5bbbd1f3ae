import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { describeObjectStore } from "./object-store-contract.ts";
import { bucket, credentials, startS3, type S3Fixture } from "./s3-fixture.ts";
import { S3Store } from "./s3-store.ts";

const storeAt = ({ endpoint }: Pick<S3Fixture, "endpoint">, prefix = "some/prefix", of = bucket) =>
  new S3Store({ bucket: of, prefix, endpoint, region: "eu-central-1", credentials }, systemClock);

describeObjectStore("S3", async () => {
  const server = await startS3();
  const [store, other] = [storeAt(server), storeAt(server)];
  const stop = async () => {
    store.close();
    other.close();
    await server.stop();
  };
  return { store, other, stop };
});

describe("S3 as object store", () => {
  let server: S3Fixture;
  beforeAll(async () => {
    server = await startS3();
  });
  afterAll(() => server.stop());

  it("puts everything below the prefix, and nothing before it where it is empty", async () => {
    for (const [prefix, path] of [
      ["some/prefix", "some/prefix/x"],
      ["", "x"],
    ] as const) {
      const store = storeAt(server, prefix);
      await store.put("x", Buffer.from("1"));
      store.close();
      expect(server.requests.at(-1)).toContain(`PUT /${bucket}/${path}`);
    }
  });

  it("makes one attempt and says that the store is unavailable", async () => {
    const store = storeAt(server);
    server.mood = "down";
    const before = server.requests.length;
    await expect(store.get("x", { bytesMax: 9 })).rejects.toMatchObject({
      code: "OBJECTS_UNAVAILABLE",
    });
    await expect(store.put("x", Buffer.from("1"))).rejects.toMatchObject({
      code: "OBJECTS_UNAVAILABLE",
    });
    expect(server.requests.length - before).toBe(2);
    server.mood = "well";
    store.close();
  });

  it("tells a missing bucket from a missing object", async () => {
    const store = storeAt(server, "", "another-bucket");
    await expect(store.get("x", { bytesMax: 9 })).rejects.toMatchObject({
      code: "OBJECTS_UNAVAILABLE",
      message: expect.stringContaining("another-bucket"),
    });
    store.close();
  });

  it("says that nobody listens", async () => {
    const store = storeAt({ endpoint: "http://127.0.0.1:9" });
    await expect(store.get("x", { bytesMax: 9 })).rejects.toMatchObject({
      code: "OBJECTS_UNAVAILABLE",
    });
    store.close();
  });
});
