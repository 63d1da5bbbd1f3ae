import { describe, expect, it } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { DirectoryStore } from "./directory-store.ts";
import { GatewayReader } from "./gateway-reader.ts";
import { isObjectsUrl, isReadableUrl, openObjectReader, openObjectStore } from "./open-objects.ts";
import { S3Store } from "./s3-store.ts";

describe("the URL of an object store", () => {
  it.each(["file:///var/lib/objects", "s3://my-bucket", "s3://my-bucket/a/b.c", "s3://my-bucket/"])(
    "may be %s",
    (url) => {
      expect(isObjectsUrl(url)).toBe(true);
      expect(isReadableUrl(url)).toBe(true);
    },
  );

  it.each(["https://cdn.example.com", "http://127.0.0.1:9000/bucket/prefix/"])(
    "may be %s for reading only",
    (url) => {
      expect(isObjectsUrl(url)).toBe(false);
      expect(isReadableUrl(url)).toBe(true);
    },
  );

  it.each([
    "",
    "file://host/path",
    "file:///a%2Fb",
    "s3://B",
    "s3://bucket/../x",
    "s3://bucket//x",
    "https://user@example.com/",
    "https://example.com/?x=1",
    "ftp://example.com/",
    "/var/lib/objects",
  ])("may not be %s", (url) => {
    expect(isReadableUrl(url)).toBe(false);
  });

  it("opens the adapter that it names, without any IO", async () => {
    const file = await openObjectStore({ url: "file:///nowhere" }, systemClock);
    const web = await openObjectReader({ url: "https://example.com/x/" }, systemClock);
    const place = { url: "s3://my-bucket/a", region: "eu-central-1", endpoint: "" };
    const s3 = await openObjectStore(place, systemClock);
    expect([file, web, s3].map((store) => store.constructor)).toEqual([
      DirectoryStore,
      GatewayReader,
      S3Store,
    ]);
    for (const store of [file, web, s3]) store.close();
  });
});
