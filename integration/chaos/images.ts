/**
 * The images of the suite: the product's own from deploy/Dockerfile, the same under another version,
 * and DynamoDB Local.
 *
 * No registry has to be reached: scripts/chaos-engine.sh has built the bases, and has fetched npm's
 * cache for the product's packages. COXSWAIN_CHAOS_BASE, COXSWAIN_CHAOS_TOOLS and COXSWAIN_CHAOS_STORE
 * name other images: an ordinary one with Node 24 and npm, one with a shell and iptables (and Java,
 * unless the third is given), and an ordinary DynamoDB Local.
 */
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { GenericContainer } from "testcontainers";
import { fetchDynamodbLocal } from "../../scripts/fetch-dynamodb-local.ts";

export interface Images {
  /** Has a shell and iptables; runs the cuts. */
  readonly tools: string;
  readonly product: string;
  /** The same program that calls itself a later version. */
  readonly nextProduct: string;
  readonly store: string;
}

const root = join(import.meta.dirname, "..", "..");
const cache = join(root, ".cache", "chaos");
const work = join(cache, "context");
const ownBuilder = "coxswain-chaos-builder:latest";
const product = "coxswain-chaos:current";
const nextProduct = "coxswain-chaos:next";
const nextVersion = "99.0.0-chaos";
const ownStore = "coxswain-chaos-store:latest";

/** What must be there before any image can be built. */
export function toolsImage(): string {
  return nonEmpty(process.env["COXSWAIN_CHAOS_TOOLS"]) ?? "coxswain-chaos-tools:latest";
}

/** Builds what is missing; a second time takes a few seconds, from the engine's cache. */
export async function buildImages(): Promise<Images> {
  const tools = toolsImage();
  try {
    await buildProduct();
    await buildNextProduct();
    const given = nonEmpty(process.env["COXSWAIN_CHAOS_STORE"]);
    if (given === undefined) await buildStore(tools);
    return { tools, product, nextProduct, store: given ?? ownStore };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function buildProduct(): Promise<void> {
  const given = nonEmpty(process.env["COXSWAIN_CHAOS_BASE"]);
  const base = given ?? "coxswain-chaos-base:latest";
  if (given === undefined) await buildBuilder(base);
  const context = join(work, "product");
  const files = ["package.json", "package-lock.json", "LICENSE", "bin", "src"];
  for (const name of [...files, "deploy/Dockerfile", "deploy/healthcheck.js"]) {
    await cp(join(root, name), join(context, name), {
      recursive: true,
      filter: (path) => !path.endsWith(".test.ts"),
    });
  }
  await GenericContainer.fromDockerfile(context, "deploy/Dockerfile")
    .withBuildArgs({ BASE: base, BUILDER: given ?? ownBuilder })
    .build(product, { deleteOnExit: false });
}

/** The base with npm, and with the product's packages where npm looks first. */
async function buildBuilder(base: string): Promise<void> {
  const lock = await readFile(join(root, "package-lock.json"));
  const key = createHash("sha256").update(lock).digest("hex").slice(0, 16);
  await cp(join(cache, `npm-${key}`), join(work, "builder"), { recursive: true });
  await buildFrom("builder", ownBuilder, {
    Dockerfile: [
      `FROM ${base}`,
      "COPY program /usr/local/lib/node_modules/npm",
      "COPY cache /npm-cache",
      "RUN ln -s /usr/local/lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm",
      "ENV npm_config_cache=/npm-cache npm_config_offline=true",
    ].join("\n"),
  });
}

async function buildNextProduct(): Promise<void> {
  const packageJson = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as object;
  await buildFrom("next", nextProduct, {
    "package.json": JSON.stringify({ ...packageJson, version: nextVersion }),
    Dockerfile: [
      `FROM ${product}`,
      `LABEL org.opencontainers.image.version="${nextVersion}"`,
      "COPY package.json /app/package.json",
    ].join("\n"),
  });
}

/** Takes the same command as the ordinary image of DynamoDB Local. */
async function buildStore(tools: string): Promise<void> {
  await cp(await fetchDynamodbLocal(), join(work, "store", "dynamodb"), { recursive: true });
  await buildFrom("store", ownStore, {
    Dockerfile: [
      `FROM ${tools}`,
      "WORKDIR /home/dynamodblocal",
      "COPY dynamodb .",
      'ENTRYPOINT ["java"]',
    ].join("\n"),
  });
}

async function buildFrom(
  name: string,
  image: string,
  files: Record<string, string>,
): Promise<void> {
  const context = join(work, name);
  await mkdir(context, { recursive: true });
  for (const [file, text] of Object.entries(files)) {
    await mkdir(dirname(join(context, file)), { recursive: true });
    await writeFile(join(context, file), text);
  }
  await GenericContainer.fromDockerfile(context).build(image, { deleteOnExit: false });
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

// Ahead of the first scenario, for whoever has something else to do meanwhile.
if (import.meta.main) await buildImages();
