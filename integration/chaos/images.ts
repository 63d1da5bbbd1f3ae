/**
 * The images of the suite: the product's own from deploy/Dockerfile, the same under another version,
 * and DynamoDB Local.
 *
 * No registry has to be reached: the context brings the production dependencies along as they are
 * installed here, and the base is what scripts/chaos-engine.sh has built. COXSWAIN_CHAOS_BASE and
 * COXSWAIN_CHAOS_STORE name other images (an ordinary one with Node 24, iptables and Java; an
 * ordinary DynamoDB Local).
 */
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { GenericContainer } from "testcontainers";
import { fetchDynamodbLocal } from "../../scripts/fetch-dynamodb-local.ts";

export interface Images {
  /** Has a shell and iptables; runs the cuts. */
  readonly base: string;
  readonly product: string;
  /** The same program that calls itself a later version. */
  readonly nextProduct: string;
  readonly store: string;
}

const root = join(import.meta.dirname, "..", "..");
const work = join(root, ".cache", "chaos", "context");
const product = "coxswain-chaos:current";
const nextProduct = "coxswain-chaos:next";
const nextVersion = "99.0.0-chaos";
const ownStore = "coxswain-chaos-store:latest";

/** What no program reads at run time: half of the dependencies' files. */
const unusedFile = /\.(?:d\.[cm]?ts|map|md)$/;

/** What every other image is made from. */
export function baseImage(): string {
  return nonEmpty(process.env["COXSWAIN_CHAOS_BASE"]) ?? "coxswain-chaos-base:latest";
}

/** Builds what is missing; a second time takes a few seconds, from the engine's cache. */
export async function buildImages(): Promise<Images> {
  const base = baseImage();
  try {
    await buildProduct(base);
    await buildNextProduct();
    const given = nonEmpty(process.env["COXSWAIN_CHAOS_STORE"]);
    if (given === undefined) await buildStore(base);
    return { base, product, nextProduct, store: given ?? ownStore };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function buildProduct(base: string): Promise<void> {
  const context = join(work, "product");
  const files = ["package.json", "package-lock.json", "LICENSE", "bin", "src"];
  for (const name of [...files, "deploy/Dockerfile", "deploy/healthcheck.js"]) {
    await cp(join(root, name), join(context, name), {
      recursive: true,
      filter: (path) => !path.endsWith(".test.ts"),
    });
  }
  for (const path of await productionPackages()) {
    const own = join(root, path).length + 1;
    await cp(join(root, path), join(context, "deploy", "dependencies", path), {
      recursive: true,
      // A package inside another one's folder is listed, and so copied, on its own.
      filter: (file) => !file.startsWith("node_modules", own) && !unusedFile.test(file),
    });
  }
  await GenericContainer.fromDockerfile(context, "deploy/Dockerfile")
    .withBuildArgs({ BASE: base })
    .build(product, { deleteOnExit: false });
}

/** Folders of what the lock file lists for production and this platform, parents first. */
async function productionPackages(): Promise<string[]> {
  const lock = JSON.parse(await readFile(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  return Object.entries(lock.packages)
    .filter(([path, { dev, devOptional }]) => path !== "" && dev !== true && devOptional !== true)
    .map(([path]) => path)
    .filter((path) => existsSync(join(root, path)))
    .toSorted();
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
async function buildStore(base: string): Promise<void> {
  await cp(await fetchDynamodbLocal(), join(work, "store", "dynamodb"), { recursive: true });
  await buildFrom("store", ownStore, {
    Dockerfile: [
      `FROM ${base}`,
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
