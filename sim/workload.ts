/**
 * Clients: they register, move, relabel, pin and delete hosts and roll out releases through whatever
 * node is up, and write into the ledger what they were told.
 *
 * Changes of one host, and changes of the rules, go one after another; everything else overlaps.
 */
import type { Operations } from "../src/node/operations.ts";
import { digestOf } from "../src/protocol/digest.ts";
import { Caller, toldOf } from "./caller.ts";
import { Dice } from "./dice.ts";
import { flawLine, guardedConfig, type Flaw } from "./flaws.ts";
import type { HostEffect, HostState, Ledger } from "./ledger.ts";
import { modesOf } from "./modes.ts";
import type { World } from "./world.ts";

const configs = [guardedConfig, "routes.json", "limits.txt"];
const selectors = ["", "role=edge", "role=core", "zone=a", "zone in (b,c)"];
const actor = "sim";
const lostPollMs = 500;
/** Releases of the guarded config that some hosts cannot take. */
const flawRatio = 0.3;
const mendAttemptsMax = 20;
/** Of new hosts, and of changes of hosts. */
const importRatio = 0.4;
const importHostsMax = 8;

export class Workload {
  readonly #world: World;
  readonly #caller: Caller;
  readonly #dice: Dice;
  /** Its own stream, so that flaws leave everything else as it is. */
  readonly #flawDice: Dice;
  /** Whether a registration or a change is an import, and of which hosts. */
  readonly #importDice: Dice;
  readonly #ledger: Ledger;
  readonly #states = new Map<string, HostState>();
  readonly #busy = new Set<string>();
  readonly #releases: { readonly config: string; readonly digest: string }[] = [];
  readonly #contents = new Map<string, { readonly config: string; readonly content: Buffer }>();
  readonly #rollouts: string[] = [];
  #hostsCount = 0;
  #releasesCount = 0;
  #isStopped = false;
  #areFlawsAllowed = true;

  constructor(world: World, dice: Dice, ledger: Ledger) {
    this.#world = world;
    this.#caller = new Caller(world, dice);
    this.#dice = dice;
    this.#flawDice = Dice.of(world.seed, "flaws");
    this.#importDice = Dice.of(world.seed, "imports");
    this.#ledger = ledger;
  }

  /** Calls under way whose end is not known yet. */
  get openCount(): number {
    return this.#caller.openCount;
  }

  /** Registers the hosts and rolls out one release of each config; repeats what fails. */
  async populate(): Promise<void> {
    this.#areFlawsAllowed = false;
    for (let index = 0; index < this.#world.swarm.hostsCount; index++) await this.#addHost();
    for (const config of configs) {
      await this.#release(config);
      await this.#rollOut("");
    }
    this.#areFlawsAllowed = true;
  }

  /** Rolls out a release of the guarded config that every host takes, through one of `slots`. */
  async mend(slots: ReadonlySet<string>): Promise<void> {
    this.#caller.isAbandoned = false;
    this.#areFlawsAllowed = false;
    this.#caller.slots = slots;
    for (let attempt = 0; attempt < mendAttemptsMax; attempt++) {
      const isReleased = await this.#release(guardedConfig);
      if (isReleased && (await this.#rollOut(""))) return;
      await this.#world.timeline.sleep(lostPollMs);
    }
  }

  /** Publishes every content again, as people do after a table was lost: no node keeps contents. */
  async republish(slots: ReadonlySet<string>): Promise<void> {
    this.#caller.isAbandoned = false;
    this.#caller.slots = slots;
    for (const { config, content } of this.#contents.values()) {
      for (let attempt = 0; attempt < mendAttemptsMax; attempt++) {
        const { told } = await this.#caller.ask(`release ${config} again`, (operations) =>
          operations.putRelease(config, content, actor),
        );
        if (told === "acknowledged") break;
        await this.#world.timeline.sleep(lostPollMs);
      }
    }
  }

  start(): void {
    const { operationsPerMinute } = this.#world.swarm;
    if (operationsPerMinute === 0) return;
    const next = () => {
      this.#world.timeline.after(this.#dice.gapMs(operationsPerMinute), () => {
        if (this.#isStopped) return;
        void this.#one();
        next();
      });
    };
    next();
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Waits no longer: whatever is under way has no answer. */
  abandon(): void {
    this.#caller.isAbandoned = true;
  }

  async #one(): Promise<void> {
    const dice = this.#dice;
    const roll = dice.random.next();
    if (roll < 0.1) return this.#addHost();
    if (roll < 0.45) {
      return this.#importDice.chance(importRatio) ? this.#importSome() : this.#changeSomeHost();
    }
    if (this.#busy.has("rules")) return;
    if (roll < 0.6) await this.#release(dice.pick(configs) ?? "");
    else if (roll < 0.9) await this.#rollOut(dice.pick(selectors) ?? "");
    else await this.#undo();
  }

  async #addHost(): Promise<void> {
    const index = this.#hostsCount++;
    const id = `h${index}`;
    const state = { address: addressOf(index, 0), labels: this.#labels(), pins: {} };
    await this.#world.addHost(id, state.address).start();
    this.#states.set(id, state);
    if (this.#importDice.chance(importRatio)) {
      await this.#import(new Map([[id, state]]));
      return;
    }
    await this.#changeHost(
      id,
      "put",
      () => state,
      (operations) =>
        operations.putHost(
          id,
          { address: state.address, labels: state.labels, pins: {}, ...this.#mode(id) },
          actor,
        ),
    );
  }

  /** Imports several hosts at once as they are, but with new labels: an inventory that is kept elsewhere. */
  async #importSome(): Promise<void> {
    const dice = this.#importDice;
    const idle = [...this.#states.keys()].filter((id) => !this.#busy.has(id));
    const some = new Map<string, HostState>();
    for (const id of dice.some(idle, dice.whole(1, importHostsMax))) {
      const state = this.#states.get(id);
      if (state !== undefined) some.set(id, { ...state, labels: this.#labels() });
    }
    for (const [id, state] of some) this.#states.set(id, state);
    await this.#import(some);
  }

  /** Each host was told of alone, as if it had been changed alone. */
  async #import(hosts: ReadonlyMap<string, HostState>): Promise<void> {
    const lines = Array.from(hosts, ([id, { address, labels }]) =>
      JSON.stringify({ id, address, labels, ...this.#mode(id) }),
    );
    for (const id of hosts.keys()) this.#busy.add(id);
    const outcome = await this.#caller.ask(`import ${[...hosts.keys()].join(" ")}`, (operations) =>
      operations.importHosts(
        Buffer.from(lines.join("\n")),
        { onExisting: "update", dryRun: false },
        actor,
      ),
    );
    for (const [at, [id, { address, labels }]] of [...hosts].entries()) {
      this.#busy.delete(id);
      const effect: HostEffect = (seen) => ({ address, labels, pins: seen?.pins ?? {} });
      this.#ledger.hostChanged(id, effect, toldOf(outcome, at + 1));
    }
  }

  async #changeSomeHost(): Promise<void> {
    const id = this.#dice.pick([...this.#states.keys()].filter((host) => !this.#busy.has(host)));
    const host = id === undefined ? undefined : this.#world.hosts.get(id);
    const state = id === undefined ? undefined : this.#states.get(id);
    if (id === undefined || host === undefined || state === undefined) return;
    const roll = this.#dice.random.next();
    if (roll < 0.15) {
      await this.#changeHost(
        id,
        "delete",
        () => undefined,
        (operations) => operations.deleteHost(id, actor),
      );
    } else if (roll < 0.4) await this.#pin(id);
    else {
      const isMove = roll < 0.6;
      const address = isMove
        ? addressOf(Number(id.slice(1)), this.#dice.whole(1, 200))
        : state.address;
      const next = { address, labels: isMove ? state.labels : this.#labels() };
      if (isMove) {
        host.crash();
        host.address = address;
        this.#world.timeline.after(this.#dice.between(0, 3_000), () => void host.start());
      }
      this.#states.set(id, { ...state, ...next });
      const effect: HostEffect = (seen) => ({ ...next, pins: seen?.pins ?? {} });
      await this.#changeHost(id, isMove ? "move" : "relabel", effect, (operations) =>
        operations.putHost(id, { ...next, ...this.#mode(id) }, actor),
      );
    }
  }

  async #pin(id: string): Promise<void> {
    const release = this.#dice.pick(this.#releases);
    if (release === undefined) return;
    const digest = this.#dice.chance(0.5) ? release.digest : undefined;
    const effect: HostEffect = (seen) => {
      if (seen === undefined) return undefined;
      const { [release.config]: _replaced, ...others } = seen.pins;
      return {
        ...seen,
        pins: digest === undefined ? others : { ...others, [release.config]: digest },
      };
    };
    await this.#changeHost(id, "pin", effect, (operations) =>
      operations.pinHost(id, release.config, digest, actor),
    );
  }

  async #changeHost(
    id: string,
    what: string,
    effect: HostEffect,
    change: (operations: Operations) => Promise<unknown>,
  ): Promise<void> {
    this.#busy.add(id);
    const outcome = await this.#caller.ask(`${what} ${id}`, change);
    this.#busy.delete(id);
    const isUnchanged = outcome.told === "acknowledged" && wasUnchanged(outcome.value);
    this.#ledger.hostChanged(id, effect, isUnchanged ? "unchanged" : outcome.told);
  }

  async #release(config: string): Promise<boolean> {
    const text = `${config} release ${this.#releasesCount++}\n`.repeat(this.#dice.whole(1, 60));
    const flaw = this.#flaw(config);
    const content = Buffer.from(flaw === undefined ? text : flawLine(flaw) + text);
    if (flaw !== undefined) this.#world.flaws.set(digestOf(content), flaw);
    const outcome = await this.#caller.ask(`release ${config}`, (operations) =>
      operations.putRelease(config, content, actor),
    );
    if (outcome.told === "acknowledged") {
      this.#releases.push({ config, digest: outcome.value.digest });
      this.#contents.set(outcome.value.digest, { config, content });
    }
    return outcome.told === "acknowledged";
  }

  #flaw(config: string): Flaw | undefined {
    const dice = this.#flawDice;
    if (!this.#areFlawsAllowed || config !== guardedConfig || !dice.chance(flawRatio)) {
      return undefined;
    }
    const kind = dice.chance(0.5) ? "refused" : "unloadable";
    return { kind, oneIn: dice.pick([1, 2, 4]) ?? 1 };
  }

  async #rollOut(selector: string): Promise<boolean> {
    const release = selector === "" ? this.#releases.at(-1) : this.#dice.pick(this.#releases);
    if (release === undefined) return false;
    const { config } = release;
    const digest = this.#dice.chance(0.1) && selector !== "" ? null : release.digest;
    return this.#changeRules(config, `rollout ${config} ${selector}`, (operations) =>
      operations.startRollout({ config, digest, selector }, actor),
    );
  }

  async #undo(): Promise<void> {
    const entry = this.#dice.pick(this.#rollouts)?.split(" ");
    const [id, config] = entry ?? [];
    if (id === undefined || config === undefined) return;
    await this.#changeRules(config, `undo ${id}`, (operations) =>
      operations.undoRollout(id, actor),
    );
  }

  async #changeRules(
    config: string,
    what: string,
    change: (operations: Operations) => Promise<{ id: string; undoes?: string }>,
  ): Promise<boolean> {
    this.#busy.add("rules");
    const at = this.#ledger.rolloutAttempted(config);
    const outcome = await this.#caller.ask(what, change);
    this.#busy.delete("rules");
    if (outcome.told === "refused") this.#ledger.rolloutRefused(config, at);
    if (outcome.told !== "acknowledged") return false;
    const { id, undoes } = outcome.value;
    this.#rollouts.push(`${id} ${config}`);
    if (undoes === undefined) this.#ledger.rolloutAcknowledged(id, config, at);
    return true;
  }

  /** A record that is made anew after a removal needs its modes again. */
  #mode(id: string): { mode?: readonly string[] } {
    const modes = modesOf(this.#world.seed, this.#world.swarm.profile, id);
    return modes === undefined ? {} : { mode: modes.list };
  }

  #labels(): Record<string, string> {
    const role = this.#dice.pick(["edge", "core"]) ?? "edge";
    const zone = this.#dice.pick(["a", "b", "c"]) ?? "a";
    return { role, zone };
  }
}

/** Of a registration's answer; others say nothing of it. */
function wasUnchanged(answer: unknown): boolean {
  return (answer as { readonly outcome?: string } | undefined)?.outcome === "unchanged";
}

function addressOf(index: number, move: number): string {
  return `http://10.${move}.${index >> 8}.${index & 255}:9000`;
}
