import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAttachClient, type AttachOutcome } from "../agent/attach-client.ts";
import { systemClock } from "../kernel/clock.ts";
import { bearerOf, hostKeyOf } from "../protocol/host-key.ts";
import { limits } from "../protocol/limits.ts";
import { cluster, startTestNode, until, type TestNode } from "./api-fixture.ts";

const secret = Buffer.alloc(32, 5);
let running: TestNode;

beforeAll(async () => {
  const flags = { attachesPerSecond: "20", links: "3" };
  running = await startTestNode("present", { flags, hostSecret: secret });
  for (const id of ["h1", "h2", "h3", "h4"]) await add(id, { mode: "reverse" });
  await add("dialled", { address: "http://127.0.0.9:9" });
});

afterAll(() => running.stop());

async function add(id: string, payload: object): Promise<void> {
  const reply = await running.api.inject({ method: "PUT", url: `/v1/hosts/${id}`, payload });
  expect(reply.statusCode).toBe(201);
  await until(() => running.node.operations.members().members.length === 1);
}

function attach(host: string, key = hostKeyOf(secret, host)): Promise<AttachOutcome> {
  const client = createAttachClient({ clock: systemClock, cluster, host, key, tls: undefined });
  return client(running.fleetUrl, { boot: "b1", isDirect: false }, new AbortController().signal);
}

/** An ask that goes as far as the proof. */
const judged = (host: string) => ({ host, isDirect: false, isProven: () => false });

/** The whole answer to raw bytes. */
async function raw(text: string): Promise<string> {
  const socket = connect(Number(new URL(running.fleetUrl).port), "127.0.0.1");
  let answer = "";
  socket.on("data", (bytes: Buffer) => (answer += bytes.toString()));
  socket.on("error", () => {});
  socket.write(text);
  await Promise.race([once(socket, "close"), systemClock.sleep(2_000)]);
  socket.destroy();
  return answer;
}

function ask(parts: Readonly<Record<string, string>> = {}, path = "/coxswain/v1/attach"): string {
  const headers = {
    host: "node",
    connection: "Upgrade",
    upgrade: "coxswain-reverse",
    "coxswain-cluster": cluster,
    "coxswain-host": "h1",
    authorization: bearerOf(hostKeyOf(secret, "h1")),
    ...parts,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** An ask without a proof, whose headers have so many bytes with two for each name and value. */
function filledTo(bytes: number): string {
  const bare = { authorization: "", "x-filler": "" };
  const lines = ask(bare).split("\r\n").slice(1, -2);
  const used = lines.reduce((sum, line) => sum + line.length + 2, 0);
  return ask({ ...bare, "x-filler": "x".repeat(bytes - used) });
}

describe("an attach", () => {
  it.each([
    ["another cluster", ask({ "coxswain-cluster": "other" }), 403, "CLUSTER_MISMATCH"],
    ["no proof", ask({ authorization: "" }), 401, "HOST_UNPROVEN"],
    ["another host's proof", ask({ "coxswain-host": "h2" }), 401, "HOST_UNPROVEN"],
    ["an id that is none", ask({ "coxswain-host": "../x" }), 400, "REQUEST_INVALID"],
    ["another path", ask({}, "/coxswain/v1/attach/x"), 404, "NOT_FOUND"],
    ["large headers", filledTo(limits.attachHeaderBytesMax + 1), 431, "REQUEST_TOO_LARGE"],
    [
      "headers just as large as may be",
      filledTo(limits.attachHeaderBytesMax),
      401,
      "HOST_UNPROVEN",
    ],
    ["bytes behind the headers", `${ask()}HTTP/1.1 200 OK\r\n\r\n`, 400, "REQUEST_INVALID"],
  ])("is refused with %s", async (_what, text, status, code) => {
    const answer = await raw(text);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer).toContain(`"code":"${code}"`);
    expect(answer).toContain("connection: close");
    expect(running.node.shapes.reverse.linkCount).toBe(0);
  });

  it.each(["dialled", "unknown"])(
    "is refused where the record does not say so: %s",
    async (host) => {
      expect(await attach(host)).toEqual({ kind: "refused", status: 404 });
    },
  );

  it("leaves requests alone that ask for another upgrade", async () => {
    const answer = await raw(
      "GET /healthz HTTP/1.1\r\nhost: n\r\nconnection: Upgrade, HTTP2-Settings, close\r\n" +
        "upgrade: h2c\r\nhttp2-settings: AAA\r\n\r\n",
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  });

  it("keeps nothing of who hangs up in the middle of the headers", async () => {
    const socket = connect(Number(new URL(running.fleetUrl).port), "127.0.0.1");
    socket.on("error", () => {});
    socket.write("GET /coxswain/v1/attach HTTP/1.1\r\nhost: n\r\n");
    await systemClock.sleep(20);
    socket.destroy();
    await systemClock.sleep(20);
    expect(running.node.shapes.reverse.linkCount).toBe(0);
  });

  it("is taken, told the ping interval, and synced over the connection", async () => {
    const outcome = await attach("h1");
    if (outcome.kind !== "attached") throw new Error(outcome.kind);
    expect(outcome.pingMs).toBe(30_000);
    expect(outcome.lossSpreadMs).toBe(500);
    const [first] = (await once(outcome.socket, "data")) as [Buffer];
    expect(first.toString()).toMatch(/^POST \/coxswain\/v1\/sync HTTP\/1\.1\r\n/);
    expect(first.toString()).toContain("coxswain-host: h1\r\n");
    outcome.socket.destroy();
    await until(() => running.node.shapes.reverse.linkCount === 0);
  });

  it("is refused by a full node, with a time to come again", async () => {
    const taken: AttachOutcome[] = [];
    for (const host of ["h1", "h2", "h3"]) {
      // More than the rate of 20 a second asks for.
      await systemClock.sleep(120);
      taken.push(await attach(host));
    }
    expect(taken.map(({ kind }) => kind)).toEqual(["attached", "attached", "attached"]);
    const refused = await attach("h4");
    if (refused.kind !== "busy") throw new Error(refused.kind);
    expect(refused.retryAfterMs).toBeGreaterThanOrEqual(15_000);
    for (const outcome of taken) if (outcome.kind === "attached") outcome.socket.destroy();
    await until(() => running.node.shapes.reverse.linkCount === 0);
  });

  it("is refused above the rate, spread over the time that the herd takes", async () => {
    const ids = Array.from({ length: 60 }, (_, index) => `herd-${index}`);
    const payload = ids.map((id) => JSON.stringify({ id, mode: "reverse" })).join("\n");
    const headers = { "content-type": "application/octet-stream" };
    await running.api.inject({ method: "POST", url: "/v1/hosts", payload, headers });
    await until(() => running.node.shapes.reverse.judge(judged("herd-59")).kind === "unproven");
    const outcomes = await Promise.all(ids.map((id) => attach(id)));
    const waits = outcomes.flatMap((outcome) =>
      outcome.kind === "busy" ? [outcome.retryAfterMs] : [],
    );
    for (const outcome of outcomes) if (outcome.kind === "attached") outcome.socket.destroy();
    expect(waits.length).toBeGreaterThan(50);
    expect(new Set(waits).size).toBeGreaterThanOrEqual(3);
    await until(() => running.node.shapes.reverse.linkCount === 0);
  });
});
