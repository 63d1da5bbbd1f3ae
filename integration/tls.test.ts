import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { callApi, eventually, TestCluster } from "./test-cluster.ts";
import { runCoxswain } from "./run-command.ts";

describe("hosts behind https that ask for a client certificate", () => {
  let dir = "";
  let cluster: TestCluster | undefined;
  let key = "";
  let cert = "";
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "coxswain-tls-"));
    [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
    execFileSync(
      "openssl",
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=coxswain -addext subjectAltName=IP:127.0.0.1 -keyout ${key} -out ${cert}`.split(
        " ",
      ),
      { stdio: "ignore" },
    );
  });
  afterEach(async () => {
    await cluster?.stop();
    await rm(dir, { recursive: true });
  });

  it("are pushed to by a node that has one, and refuse a node that has none", async () => {
    cluster = await TestCluster.start({ nodes: 0 });
    const flags = ["--tls-ca", cert, "--tls-cert", cert, "--tls-key", key];
    const node = await cluster.startNode("node-1", ...flags);
    await cluster.settled(1, node);
    const agent = await cluster.startAgent("secure", { tls: { key, cert, ca: cert } });
    expect(agent.address).toMatch(/^https:/);
    await callApi(node.apiUrl, "PUT", "/v1/hosts/secure", { address: agent.address });
    const release = await cluster.rollOut(node.apiUrl, "routes.json", "over TLS");
    await eventually("the release is there", 10_000, async () =>
      (await cluster?.rollout(node.apiUrl, release.id))?.state === "complete" ? true : undefined,
    );
    expect(cluster.held("routes.json").get("secure")).toBe(release.digest);

    node.signal("SIGTERM");
    await node.ended();
    const plain = await cluster.startNode("node-1");
    await cluster.settled(1, plain);
    const next = await cluster.rollOut(plain.apiUrl, "routes.json", "without a certificate");
    const view = await eventually("the host's refusal is shown", 20_000, async () => {
      const host = await cluster?.host(plain.apiUrl, "secure");
      return host?.lastError === null ? undefined : host;
    });
    expect(view.lastError?.class).toBe("tls");
    expect(cluster.held("routes.json").get("secure")).not.toBe(next.digest);
  });

  it("need both halves of a pair that fits, or the node does not start", async () => {
    const store = ["--store", "embedded", "--store-dir", join(dir, "store")];
    const half = await runCoxswain(["node", ...store, "--tls-cert", cert]);
    expect(half.stderr).toContain("Expected `tlsCert` and `tlsKey` together");
    const missing = await runCoxswain(["node", ...store, "--tls-ca", join(dir, "none.pem")]);
    expect(missing.stderr).toContain("none.pem");
    const swapped = await runCoxswain(["node", ...store, "--tls-cert", key, "--tls-key", cert]);
    expect(swapped.stderr).toContain("belong together");
    expect([half.code, missing.code, swapped.code]).toEqual([78, 78, 78]);
  });
});
