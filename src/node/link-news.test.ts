import { duplexPair, type Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseHostId } from "../inventory/host.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createRandom } from "../kernel/random.ts";
import { snapshotOf } from "./node-fixture.ts";
import { LinkNews } from "./link-news.ts";
import type { LinkCalls } from "./link-calls.ts";
import { ReverseLinks } from "./reverse-links.ts";

const owner = snapshotOf(1, ["a", "b"]).view.members.find(({ slot }) => slot === "b");

let clock: ManualClock;
let links: ReverseLinks;
let news: LinkNews;
/** The hosts of each call that came to the owner. */
let told: string[][];
let isCut: boolean;
let ownersAsked: number;

beforeEach(() => {
  clock = new ManualClock();
  told = [];
  isCut = false;
  ownersAsked = 0;
  links = new ReverseLinks(
    { clock, random: createRandom("news"), onClosed: () => {}, lossSpreadMs: () => 500 },
    { pingIntervalMs: 600_000, linkAgeMs: 3_600_000 },
  );
  news = new LinkNews({
    clock,
    peers: {
      call: (_url, _name, ask) => {
        if (isCut) return Promise.reject(new CoxswainError("MEMBER_UNREACHABLE", "cut"));
        told.push((ask as LinkCalls["links"]["ask"]).linked.map(({ host }) => host));
        return Promise.resolve({ unknown: [], unserved: [] } as never);
      },
    },
    slot: "a",
    secret: undefined,
    links,
    ownerOf: () => {
      ownersAsked++;
      return owner;
    },
    member: () => owner,
    onOwn: () => "known",
  });
});

afterEach(() => links.stop());

function attach(id: string): Duplex {
  const [near] = duplexPair();
  news.tellSoon(links.attach(parseHostId(id), 1, near));
  return near;
}

describe("what a node tells the owner of hosts that attach", () => {
  it("is told together, and looks at nothing but what is new, however many are there", async () => {
    for (let index = 0; index < 500; index++) attach(`h${index}`);
    await clock.advance(10);
    expect(told.map((hosts) => hosts.length)).toEqual([500]);
    ownersAsked = 0;
    for (let round = 0; round < 3; round++) {
      attach(`late-${round}`);
      await clock.advance(10);
    }
    expect(told.slice(1)).toEqual([["late-0"], ["late-1"], ["late-2"]]);
    expect(ownersAsked).toBe(3);
  });

  it("leaves out a connection that is gone by then", async () => {
    attach("h1").destroy();
    attach("h2");
    await clock.advance(10);
    expect(told).toEqual([["h2"]]);
  });

  it("leaves out a connection that was given up for one elsewhere and is still served", async () => {
    const link = links.attach(parseHostId("h1"), 1, duplexPair()[0]);
    if (link === undefined) throw new Error("not attached");
    link.isMoving = true;
    const request = { path: "/coxswain/v1/sync", headers: {}, body: undefined, deadlineMs: 5_000 };
    void links.exchange(link.host, request);
    news.tellSoon(link);
    links.giveUp(link);
    expect(link.isClosed).toBe(false);
    await clock.advance(10);
    expect(told).toEqual([]);
  });

  it("is told with the next one, where it was not heard", async () => {
    isCut = true;
    attach("h1");
    await clock.advance(10);
    isCut = false;
    attach("h2");
    await clock.advance(10);
    expect(told).toEqual([["h1", "h2"]]);
  });
});
