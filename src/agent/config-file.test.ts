import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readAgentConfigFile, resolveAgentConfig } from "./config-file.ts";

const minimal = { host: "h1", cluster: "c1", dir: "state" };

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "coxswain-config-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function fileWith(text: string): Promise<string> {
  const file = join(folder, "agent.yaml");
  await writeFile(file, text);
  return file;
}

describe("a value that breaks a rule is named with the rule and the value", () => {
  test.each([
    [{ ...minimal, host: "../x" }, "Expected `host` to be letters, digits", 'got "../x"'],
    [{ cluster: "c1", dir: "x" }, "Expected `host` to be", "got nothing"],
    [{ ...minimal, hosts: 1 }, "the agent's configuration to have known keys only", "got `hosts`"],
    [
      { ...minimal, configs: { "a.conf": { chek: ["x"] } } },
      "Expected `configs.a.conf` to have known keys only",
      "got `chek`",
    ],
    [
      { ...minimal, configs: { "a.conf": { check: "nginx -t" } } },
      "`configs.a.conf.check` to be a list of a program and its arguments",
      'got "nginx -t"',
    ],
    [{ ...minimal, configs: { "a.conf": { check: [] } } }, "`configs.a.conf.check`", "got []"],
    [{ ...minimal, configs: { "a.conf": { mode: 644 } } }, 'in quotes, like "0644"', "got 644"],
    [{ ...minimal, configs: { "a.conf": { mode: "0999" } } }, "octal", 'got "0999"'],
    [{ ...minimal, configs: { "a.conf": { owner: "root" } } }, "numeric ids", 'got "root"'],
    [{ ...minimal, configs: { "a.conf": { reloadTimeoutMs: 5 } } }, "from 100 to 600000", "got 5"],
    [{ ...minimal, configs: { "../a": {} } }, "config names", ""],
    [
      { ...minimal, configs: { a: { path: "/x" }, b: { path: "/x" } } },
      "`configs.b.path` to be a path of its own",
      "got the path of `a`",
    ],
    [{ ...minimal, listen: "7500" }, "`listen` to be host:port", 'got "7500"'],
    [{ ...minimal, listen: "127.0.0.1:99999" }, "a port from 0 to 65535", "got 99999"],
    [{ ...minimal, nodes: ["ftp://x"] }, "http or https URLs", 'got "ftp://x"'],
    [{ ...minimal, modes: ["object"] }, "`object` with the mode object", "got nothing"],
    [{ ...minimal, object: { url: "s3://B" } }, "`object.url` to be `file:///folder`", '"s3://B"'],
    [{ ...minimal, object: {} }, "`object.url` to be `file:///folder`", "got nothing"],
    [
      { ...minimal, object: { url: "s3://my-bucket", endpoint: "x" } },
      "`object.endpoint` to be an http or https URL",
      'got "x"',
    ],
    [
      {
        ...minimal,
        nodes: ["http://n1"],
        modes: ["object", "poll"],
        object: { url: "s3://bucket" },
      },
      "`modes` to fall back to nothing weaker than object",
      "got poll (no proof)",
    ],
    [{ ...minimal, acceptUnlisted: "no" }, "true or false", 'got "no"'],
    [{ ...minimal, tls: { key: "none", cert: "none" } }, "`tls.key` to be a file", "ENOENT"],
  ])("%j", async (raw, rule, value) => {
    const promise = resolveAgentConfig(raw, folder);
    await expect(promise).rejects.toMatchObject({ code: "AGENT_CONFIG_INVALID" });
    await expect(promise).rejects.toThrow(rule);
    await expect(promise).rejects.toThrow(value);
  });

  test.each([
    ["a: [", "to be YAML or JSON"],
    ["- a list", "to be a mapping"],
    ["", "to be a mapping"],
    ["a: &a [1]\nb: *a\n", "to be YAML or JSON"],
    [`a: ${"x".repeat(1024 * 1024)}`, "at most 1048576 bytes"],
  ])("file %#", async (text, rule) => {
    await expect(readAgentConfigFile(await fileWith(text))).rejects.toThrow(rule);
  });

  test("a file that is not there", async () => {
    await expect(readAgentConfigFile(join(folder, "none"))).rejects.toMatchObject({
      code: "AGENT_CONFIG_INVALID",
    });
  });
});

test("defaults are loopback, an open list of names, and the agent's own folder", async () => {
  expect(await resolveAgentConfig(minimal, "/base")).toMatchObject({
    listen: { host: "127.0.0.1", port: 7500 },
    nodes: [],
    targets: { folder: "/base/state", acceptUnlisted: true },
    workingFolder: "/base",
  });
});

test.each([
  [
    "YAML",
    `
host: h1
cluster: c1
dir: /var/lib/coxswain
listen: "[::1]:0"
nodes: [http://127.0.0.1:7401]
configs:
  nginx.conf:
    path: etc/nginx.conf
    mode: "0600"
    owner: "33:34"
    check: [nginx, -t, -c, "{path}"]
    reload: [nginx, -s, reload]
    reloadTimeoutMs: 2000
  routes.json: {}
state: { command: [uptime] }
`,
  ],
  [
    "JSON",
    JSON.stringify({
      host: "h1",
      cluster: "c1",
      dir: "/var/lib/coxswain",
      listen: "[::1]:0",
      nodes: ["http://127.0.0.1:7401"],
      configs: {
        "nginx.conf": {
          path: "etc/nginx.conf",
          mode: "0600",
          owner: "33:34",
          check: ["nginx", "-t", "-c", "{path}"],
          reload: ["nginx", "-s", "reload"],
          reloadTimeoutMs: 2000,
        },
        "routes.json": {},
      },
      state: { command: ["uptime"] },
    }),
  ],
])("a %s file is read with paths relative to it", async (_kind, text) => {
  const raw = await readAgentConfigFile(await fileWith(text));
  const settings = await resolveAgentConfig(raw, folder);
  expect(settings.listen).toEqual({ host: "::1", port: 0 });
  expect(settings.targets.listed.get("nginx.conf")).toEqual({
    path: join(folder, "etc/nginx.conf"),
    attributes: { mode: 0o600, owner: { uid: 33, gid: 34 } },
    check: ["nginx", "-t", "-c", "{path}"],
    reload: ["nginx", "-s", "reload"],
    checkTimeoutMs: 10_000,
    reloadTimeoutMs: 2_000,
  });
  expect(settings.targets.listed.get("routes.json")?.path).toBe(
    "/var/lib/coxswain/configs/routes.json",
  );
  expect(settings.stateCommand).toEqual({
    argv: ["uptime"],
    timeoutMs: 10_000,
    refreshMs: 60_000,
  });
});
