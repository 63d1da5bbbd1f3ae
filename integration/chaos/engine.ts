/**
 * What the suite needs of the container engine beyond what testcontainers offers: fixed addresses in
 * several networks, pausing, killing, pulling cables, and packet filters.
 *
 * Everything carries one label, by which all of it can be found and removed, whoever started it.
 * A packet filter is set from a short-lived container that joins the network of its target: the
 * product's image needs neither iptables nor rights for it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import process from "node:process";
import {
  GenericContainer,
  getContainerRuntimeClient,
  Wait,
  type ContainerRuntimeClient,
} from "testcontainers";
import { messageOf } from "../../src/kernel/errors.ts";

// The reaper's image would have to be pulled; removal by label takes its place.
process.env["TESTCONTAINERS_RYUK_DISABLED"] ??= "true";

const chaosLabel = "coxswain.chaos";
const namePrefix = "coxswain-chaos-";
/** A folder in memory that containers share. */
export const objectsVolume = `${namePrefix}objects`;
const startTimeoutMs = 60_000;
const removeAttempts = 40;
const removePauseMs = 250;

/** The links are separate networks, so that each kind can fail alone. */
const links = {
  /** The suite to nodes: never cut. */
  control: "172.29.1",
  /** Nodes to the store. */
  store: "172.29.2",
  /** Nodes to hosts, and nodes to each other. */
  hosts: "172.29.3",
} as const;

export type Link = keyof typeof links;
const linkNames = Object.keys(links) as Link[];

export interface BoxPlan {
  readonly name: string;
  readonly image: string;
  readonly entrypoint?: readonly string[];
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Last part of its address in each of its networks. */
  readonly ordinal: number;
  readonly links: readonly [Link, ...Link[]];
  /** Text of the log line that says that it is ready. */
  readonly readyText: string;
  /** The image's own health check is for nodes. */
  readonly hasHealthCheck: boolean;
  /** Memory file systems by path, with their size. */
  readonly memoryFolders?: Readonly<Record<string, { readonly bytes: number }>>;
  readonly files?: readonly { readonly source: string; readonly target: string }[];
  /** Small files by path. */
  readonly texts?: Readonly<Record<string, string>>;
  /** Paths of volumes by their names. */
  readonly volumes?: Readonly<Record<string, string>>;
}

export interface Inspection {
  /** `starting`, `healthy` or `unhealthy`; undefined where the box has no check. */
  readonly health: string | undefined;
  /** Size of what its image adds to the oldest layer. */
  readonly ownBytes: number;
}

export function addressOn(link: Link, ordinal: number): string {
  return `${links[link]}.${ordinal}`;
}

/** Why scenarios cannot run here; undefined where they can. */
export async function engineTrouble(baseImage: string): Promise<string | undefined> {
  if (process.platform !== "linux") return "containers are reached by their addresses: Linux only";
  try {
    const { container } = await getContainerRuntimeClient();
    const found = await container.dockerode.listImages({ filters: { reference: [baseImage] } });
    return found.length > 0 ? undefined : `the engine has no image ${baseImage}: npm run chaos`;
  } catch (error) {
    return messageOf(error);
  }
}

export class Engine {
  readonly #client: ContainerRuntimeClient;
  readonly #toolImage: string;

  private constructor(client: ContainerRuntimeClient, toolImage: string) {
    this.#client = client;
    this.#toolImage = toolImage;
  }

  static async connect(toolImage: string): Promise<Engine> {
    return new Engine(await getContainerRuntimeClient(), toolImage);
  }

  /** Networks without a way out of the machine. */
  async makeNetworks(): Promise<void> {
    for (const link of linkNames) {
      await this.#client.network.create({
        Name: namePrefix + link,
        Driver: "bridge",
        Internal: true,
        Labels: { [chaosLabel]: "network" },
        IPAM: { Driver: "default", Config: [{ Subnet: `${links[link]}.0/24` }] },
      });
    }
  }

  /** What hosts and nodes share as an object store; empty, and the image's user may write. */
  async makeVolume(): Promise<void> {
    await this.#client.container.dockerode.createVolume({
      Name: objectsVolume,
      Labels: { [chaosLabel]: "volume" },
      DriverOpts: { type: "tmpfs", device: "tmpfs", o: "mode=1777,size=64m" },
    });
  }

  async start(plan: BoxPlan, planHash: string): Promise<void> {
    await new PlannedContainer(plan, planHash, (id, link) => this.#plug(id, link, plan)).start();
  }

  /** Runs `command` in a container of its own and returns what it printed; throws where it fails. */
  async runOnce(image: string, command: string[], link: Link, env: string[] = []): Promise<string> {
    return this.#run({ Image: image, Cmd: command, Env: env, HostConfig: onNetwork(link) });
  }

  /** Runs a program in the network of the container `name`, with the right to change it. */
  async runBeside(name: string, command: string[]): Promise<string> {
    return this.#run({
      Image: this.#toolImage,
      Cmd: command,
      HostConfig: { NetworkMode: `container:${namePrefix}${name}`, CapAdd: ["NET_ADMIN"] },
    });
  }

  /** Runs `script` with sh inside the running container `name`; throws where it fails. */
  async shell(name: string, script: string): Promise<string> {
    const { output, exitCode } = await this.#client.container.exec(
      this.#container(name),
      ["sh", "-c", script],
      { log: false },
    );
    if (exitCode !== 0) throw new Error(`${name}: sh ended with ${exitCode}: ${output}`);
    return output;
  }

  async kill(name: string): Promise<void> {
    await this.#container(name).kill();
  }

  async boot(name: string): Promise<void> {
    await this.#container(name).start();
  }

  /** SIGTERM, and SIGKILL after `graceSeconds`. */
  async stop(name: string, graceSeconds: number): Promise<void> {
    await this.#container(name).stop({ t: graceSeconds });
  }

  async pause(name: string): Promise<void> {
    await this.#container(name).pause();
  }

  async unpause(name: string): Promise<void> {
    await this.#container(name).unpause();
  }

  async unplug(name: string, link: Link): Promise<void> {
    await this.#client.network
      .getById(namePrefix + link)
      .disconnect({ Container: namePrefix + name, Force: true });
  }

  async plug(name: string, link: Link, ordinal: number): Promise<void> {
    await this.#plug(namePrefix + name, link, { ordinal });
  }

  async remove(name: string): Promise<void> {
    await this.#container(name).remove({ force: true, v: true });
  }

  async inspect(name: string): Promise<Inspection> {
    const { State, Image } = await this.#container(name).inspect();
    const { dockerode } = this.#client.container;
    const layers = (await dockerode.getImage(Image).history()) as { Size: number }[];
    const ownBytes = layers.slice(0, -1).reduce((sum, { Size }) => sum + Size, 0);
    return { health: State.Health?.Status, ownBytes };
  }

  /** What the container wrote to its log since `sinceMs` (wall clock), both streams. */
  async log(name: string, sinceMs = 0): Promise<string> {
    const options = { stdout: true, stderr: true, since: Math.floor(sinceMs / 1_000) } as const;
    const bytes = await this.#container(name).logs({ ...options, follow: false });
    return plainText(bytes);
  }

  /** State by name (`running`, `paused`, `exited`, …) of the containers that carry `planHash`. */
  async states(planHash: string): Promise<Map<string, string>> {
    const filters = { label: [`${chaosLabel}=${planHash}`] };
    const found = await this.#client.container.dockerode.listContainers({ all: true, filters });
    return new Map(found.map(({ Names, State }) => [shortName(Names[0] ?? ""), State]));
  }

  /** Removes every container and network of the suite. */
  async removeAll(): Promise<void> {
    const { dockerode } = this.#client.container;
    const filters = { label: [chaosLabel] };
    // Again and again: a container that is being removed already refuses.
    await withRetries(async () => {
      const containers = await dockerode.listContainers({ all: true, filters });
      await Promise.all(
        containers.map(({ Id }) => dockerode.getContainer(Id).remove({ force: true, v: true })),
      );
    });
    await withRetries(async () => {
      const networks = await dockerode.listNetworks({ filters });
      await Promise.all(networks.map(({ Id }) => dockerode.getNetwork(Id).remove()));
    });
    await withRetries(async () => {
      const { Volumes } = await dockerode.listVolumes({ filters });
      await Promise.all((Volumes ?? []).map(({ Name }) => dockerode.getVolume(Name).remove()));
    });
  }

  #container(name: string) {
    return this.#client.container.getById(namePrefix + name);
  }

  async #plug(container: string, link: Link, { ordinal }: { ordinal: number }): Promise<void> {
    await this.#client.network.getById(namePrefix + link).connect({
      Container: container,
      EndpointConfig: { IPAMConfig: { IPv4Address: addressOn(link, ordinal) } },
    });
  }

  async #run(
    options: Parameters<ContainerRuntimeClient["container"]["create"]>[0],
  ): Promise<string> {
    const labelled = { ...options, Labels: { [chaosLabel]: "tool" } };
    const container = await this.#client.container.dockerode.createContainer(labelled);
    try {
      await container.start();
      const { StatusCode } = (await container.wait()) as { StatusCode: number };
      const output = plainText(await container.logs({ stdout: true, stderr: true, follow: false }));
      if (StatusCode === 0) return output;
      throw new Error(`${options.Cmd?.join(" ")} ended with ${StatusCode}: ${output}`);
    } finally {
      await container.remove({ force: true, v: true });
    }
  }
}

class PlannedContainer extends GenericContainer {
  readonly #plug: (containerId: string, link: Link) => Promise<void>;
  readonly #furtherLinks: readonly Link[];

  constructor(
    plan: BoxPlan,
    planHash: string,
    plug: (containerId: string, link: Link) => Promise<void>,
  ) {
    super(plan.image);
    const [first, ...further] = plan.links;
    this.#plug = plug;
    this.#furtherLinks = further;
    this.withName(namePrefix + plan.name)
      .withLabels({ [chaosLabel]: planHash })
      .withNetworkMode(namePrefix + first)
      .withEnvironment({ ...plan.environment })
      .withCommand([...plan.command])
      .withCopyFilesToContainer([...(plan.files ?? [])])
      .withCopyContentToContainer(
        Object.entries(plan.texts ?? {}).map(([target, content]) => ({ target, content })),
      )
      .withBindMounts(
        Object.entries(plan.volumes ?? {}).map(([source, target]) => ({ source, target })),
      )
      .withTmpFs(
        Object.fromEntries(
          Object.entries(plan.memoryFolders ?? {}).map(([path, { bytes }]) => [
            path,
            `rw,size=${bytes},mode=1777`,
          ]),
        ),
      )
      .withWaitStrategy(Wait.forLogMessage(plan.readyText))
      .withStartupTimeout(startTimeoutMs);
    if (plan.entrypoint !== undefined) this.withEntrypoint([...plan.entrypoint]);
    if (!plan.hasHealthCheck) this.createOpts.Healthcheck = { Test: ["NONE"] };
    this.createOpts.NetworkingConfig = {
      EndpointsConfig: {
        [namePrefix + first]: { IPAMConfig: { IPv4Address: addressOn(first, plan.ordinal) } },
      },
    };
  }

  /** Before its program runs, so that it finds all its networks. */
  protected override async containerCreated(containerId: string): Promise<void> {
    for (const link of this.#furtherLinks) await this.#plug(containerId, link);
  }
}

function onNetwork(link: Link) {
  return { NetworkMode: namePrefix + link };
}

function shortName(name: string): string {
  return name.slice(`/${namePrefix}`.length);
}

/** Takes the engine's 8-byte frame headers out of a log of two streams. */
function plainText(bytes: Uint8Array): string {
  const log = Buffer.from(bytes);
  const parts: string[] = [];
  for (let at = 0; at + 8 <= log.length;) {
    const length = log.readUInt32BE(at + 4);
    parts.push(log.toString("utf8", at + 8, at + 8 + length));
    at += 8 + length;
  }
  return parts.join("");
}

async function withRetries(step: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await step();
      return;
    } catch (error) {
      if (attempt === removeAttempts) throw error;
      await sleep(removePauseMs);
    }
  }
}
