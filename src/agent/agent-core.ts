/**
 * The host's side of a sync, without HTTP and without a file system: ports in, answers out.
 *
 * Invariants. The stored fence never goes down within a generation, nor does the generation. What a
 * reply states is durable before the reply exists. `manifest` in a reply covers only configs whose
 * file has, now, the digest that was applied and reloaded. One sync at a time, in order of arrival.
 *
 * Order of a change: contents, then state with the raised fence and the intent, then each target,
 * then state without the intent. A crash anywhere leaves the old configs or the new ones: `open`
 * undoes what an intent says was under way.
 */
import assert from "node:assert/strict";
import type { Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { randomId, type Random } from "../kernel/random.ts";
import { manifestDigestOf, type Digest } from "../protocol/digest.ts";
import { equalFences, formatFence, goesBack, type Fence } from "../protocol/fence.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import { AgentStorage } from "./agent-storage.ts";
import type { CommandRunner } from "./command-runner.ts";
import { ConfigApplier, type AppliedChange } from "./config-applier.ts";
import { isAccepted, targetOf, type ConfigTargets } from "./config-target.ts";
import { DiskError, type Disk } from "./disk.ts";
import { freshState, type DurableState, type HeldRecord, type Outcome } from "./durable-state.ts";
import { planSync, type Change } from "./sync-plan.ts";
import { boundedState, buildReply } from "./sync-reply.ts";
import {
  readBody,
  refusal,
  screen,
  type Answer,
  type FullOrShort,
  type Headers,
  type SyncCall,
  type SyncContext,
} from "./sync-request.ts";

export interface AgentCorePorts {
  readonly disk: Disk;
  readonly runner: CommandRunner;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface AgentCoreOptions {
  readonly host: string;
  readonly cluster: string;
  readonly targets: ConfigTargets;
  /** Text of the reply's `agent` field. */
  readonly agentVersion: string;
  /** Operational state for each reply; over `limits.stateBytesMax` it is replaced by a note. */
  readonly reportState?: () => Record<string, unknown>;
  /** Syncs that may wait behind the one under way; more are answered 503. */
  readonly waitingSyncsMax?: number;
}

/** What the host holds, as of the last look at its files. */
export interface Held {
  readonly boot: string;
  readonly fence: Fence | undefined;
  readonly view: number;
  readonly manifest: Digest;
  readonly configs: readonly HeldRecord[];
}

export interface AgentCore {
  /** Loads and verifies the durable state; AGENT_STATE_CORRUPT where it is damaged. */
  open(): Promise<void>;
  /** `body` is the parsed JSON of the request. Never rejects for anything a sender can cause. */
  handleSync(request: SyncCall): Promise<Answer>;
  /** The answer where headers alone decide, before a body is read. */
  screen(headers: Headers): Answer | undefined;
  held(): Held;
  /** Monotonic time of the last sync that was meant for this host, in any mode or in one; undefined before the first. */
  lastSyncAtMs(mode?: HostMode): number | undefined;
}

/** Enough for the old and the new owner of a moment; more waiting only grows memory. */
const waitingSyncsDefault = 4;

export function createAgentCore(ports: AgentCorePorts, options: AgentCoreOptions): AgentCore {
  return new Core(ports, options);
}

class Core implements AgentCore {
  readonly #ports: AgentCorePorts;
  readonly #options: AgentCoreOptions;
  readonly #applier: ConfigApplier;
  readonly #storage: AgentStorage;
  #durable: DurableState;
  #verified: ReadonlyMap<string, Digest> = new Map();
  #boot = "";
  readonly #lastSyncAtMs = new Map<HostMode, number>();
  #queue: Promise<unknown> = Promise.resolve();
  #queuedCount = 0;

  constructor(ports: AgentCorePorts, options: AgentCoreOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#applier = new ConfigApplier(ports, options.targets);
    this.#storage = new AgentStorage(ports, options.targets.folder);
    this.#durable = freshState(options.cluster, options.host);
  }

  async open(): Promise<void> {
    const { random, log } = this.#ports;
    const { cluster, host } = this.#options;
    const loaded = await this.#storage.load(cluster, host);
    // What an earlier process could not do, this one has not tried: its owner sends it once more.
    if (loaded !== undefined) this.#durable = { ...loaded, outcomes: [] };
    await this.#recover();
    const recorded = this.#durable.configs.map(({ name }) => name);
    for (const name of new Set([...this.#options.targets.listed.keys(), ...recorded])) {
      await this.#applier.tidyTarget(name);
    }
    const drifted = await this.#verify();
    for (const { name, message } of drifted) log.warn({ config: name, message }, "config differs");
    this.#boot = randomId(random);
  }

  held(): Held {
    const configs = [...this.#verified].map(([name, digest]) => ({ name, digest }));
    const { fence, view } = this.#durable;
    return { boot: this.#boot, fence, view, manifest: manifestDigestOf(configs), configs };
  }

  lastSyncAtMs(mode?: HostMode): number | undefined {
    if (mode !== undefined) return this.#lastSyncAtMs.get(mode);
    const times = [...this.#lastSyncAtMs.values()];
    return times.length === 0 ? undefined : Math.max(...times);
  }

  screen(headers: Headers): Answer | undefined {
    const screened = screen(headers, this.#options);
    return screened.kind === "refused" ? screened.answer : undefined;
  }

  async handleSync({ headers, body, via = "dial" }: SyncCall): Promise<Answer> {
    assert(this.#boot !== "", "open() must come first");
    const screened = screen(headers, this.#options);
    if (screened.kind === "refused") return screened.answer;
    this.#lastSyncAtMs.set(via, this.#ports.clock.monotonicMs());
    const read = readBody(body);
    if (read.kind === "refused") return read.answer;
    if (this.#queuedCount > (this.#options.waitingSyncsMax ?? waitingSyncsDefault)) {
      const busy = refusal(503, "BUSY", "Other syncs are waiting for this host already");
      return { ...busy, retryAfterSeconds: 1 };
    }
    this.#queuedCount++;
    const turn = this.#queue.then(() => this.#sync(screened.context, read.request));
    // The next sync waits for this one's end, whichever way it ends.
    this.#queue = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      this.#queuedCount--;
    }
  }

  async #sync(context: SyncContext, request: FullOrShort): Promise<Answer> {
    const refused = this.#refuseByFence(context, request.manifest);
    if (refused !== undefined) return refused;
    const { fence, view, offered, outcomes } = this.#durable;
    const isNewGeneration = fence === undefined || context.fence.generation > fence.generation;
    const accepted: DurableState = {
      ...this.#durable,
      fence: context.fence,
      view: isNewGeneration ? context.view : Math.max(view, context.view),
      offered: request.manifest,
      outcomes: request.manifest === offered ? outcomes : [],
    };
    const results =
      request.configs === undefined
        ? await this.#acceptShort(accepted)
        : await this.#acceptFull(accepted, request.configs);
    return { status: 200, body: this.#reply(results, true) };
  }

  #refuseByFence({ fence, node }: SyncContext, manifest: Digest): Answer | undefined {
    const { fence: stored, offered } = this.#durable;
    if (stored === undefined) return undefined;
    const fields = { node, offered: formatFence(fence), stored: formatFence(stored) };
    let error: { code: string; message: string };
    if (goesBack(stored, fence)) {
      this.#ports.log.info(fields, "sync refused: it goes back");
      const message = `Expected a fence of at least ${fields.stored}, got ${fields.offered}`;
      error = { code: "FENCE_GOES_BACK", message };
    } else if (equalFences(stored, fence) && manifest !== offered) {
      this.#ports.log.error(
        { ...fields, manifest, accepted: offered },
        "integrity: one fence with two manifests",
      );
      const message = `Integrity: fence ${fields.stored} came with ${offered} before, now with ${manifest}`;
      error = { code: "FENCE_REUSED", message };
    } else {
      return undefined;
    }
    return { status: 409, body: { ...this.#reply([], false), error } };
  }

  /** Nothing is changed here: where the manifest differs, the node sends the full form next. */
  async #acceptShort(accepted: DurableState): Promise<readonly Outcome[]> {
    const drifted = await this.#verify();
    const trouble = await this.#save(accepted);
    // What came of an earlier attempt says more than that the file differs.
    if (trouble === undefined) return [...drifted, ...accepted.outcomes];
    return accepted.configs.map(({ name }) => failedBy(name, trouble));
  }

  async #acceptFull(
    accepted: DurableState,
    offered: NonNullable<FullOrShort["configs"]>,
  ): Promise<readonly Outcome[]> {
    await this.#verify();
    const plan = planSync({
      offered,
      verified: this.#verified,
      recorded: new Set(accepted.configs.map(({ name }) => name)),
      stored: await this.#readStored(offered),
      isAccepted: (name) => isAccepted(this.#options.targets, name),
    });
    const { ready, refused } = await this.#prepare(plan.changes);
    const settled = [...plan.settled, ...refused];
    const intent = ready.map(({ change, before }) => ({
      name: change.name,
      before,
      after: change.kind === "apply" ? change.digest : undefined,
    }));
    const trouble = await this.#save({ ...accepted, outcomes: settled.filter(isBad), intent });
    if (trouble !== undefined) {
      return [...settled, ...ready.map(({ change }) => failedBy(change.name, trouble))];
    }
    if (ready.length === 0) return settled;
    return this.#carryOut(ready, settled);
  }

  /** Runs the changes of a durable intent, then records what came of them. */
  async #carryOut(
    ready: readonly { change: Change; before: Digest | undefined }[],
    settled: readonly Outcome[],
  ): Promise<readonly Outcome[]> {
    const done: { change: Change; applied: AppliedChange }[] = [];
    for (const { change, before } of ready) {
      done.push({ change, applied: await this.#applier.apply(change, before) });
    }
    const results = [...settled, ...done.map(({ applied }) => applied.outcome)];
    const records = new Map(this.#durable.configs.map(({ name, digest }) => [name, digest]));
    for (const { change, applied } of done) {
      if (applied.outcome.result === "applied" && change.kind === "apply") {
        records.set(change.name, change.digest);
      }
      if (applied.outcome.result === "removed") records.delete(change.name);
    }
    const trouble = await this.#save({
      ...this.#durable,
      configs: sortedRecords(records),
      outcomes: results.filter(isBad),
      intent: [],
    });
    if (trouble !== undefined) return this.#takeBack(done, settled, trouble);
    for (const { applied } of done) await applied.finish?.();
    await this.#storage.collectGarbage(this.#durable.configs);
    await this.#verify();
    this.#ports.log.info(
      { results: results.map(({ name, result }) => `${name}: ${result}`) },
      "sync applied",
    );
    return results;
  }

  /** The record of the changes could not be made durable, so they must not be kept. */
  async #takeBack(
    done: readonly { change: Change; applied: AppliedChange }[],
    settled: readonly Outcome[],
    trouble: string,
  ): Promise<readonly Outcome[]> {
    for (const { applied } of done.toReversed()) await applied.undo?.();
    this.#durable = { ...this.#durable, intent: [] };
    await this.#verify();
    return [
      ...settled,
      ...done.map(({ change, applied }) =>
        isBad(applied.outcome) ? applied.outcome : failedBy(change.name, trouble),
      ),
    ];
  }

  /** Stores contents and notes what each target holds; what that refuses never becomes an intent. */
  async #prepare(changes: readonly Change[]) {
    const ready: { change: Change; before: Digest | undefined }[] = [];
    const refused: Outcome[] = [];
    for (const change of changes) {
      const now = await this.#applier.digestOfTarget(change.name);
      const trouble =
        now.kind === "unreadable"
          ? now.message
          : change.kind === "apply"
            ? await this.#storage.storeContent(change.digest, change.bytes)
            : undefined;
      if (now.kind === "read" && trouble === undefined) ready.push({ change, before: now.digest });
      else refused.push(failedBy(change.name, trouble ?? ""));
    }
    return { ready, refused };
  }

  /**
   * Looks at every recorded config's file; returns those that are not as they were applied. They
   * have no digest in the reply and the result `unchanged`: nothing was tried, so nothing failed.
   */
  async #verify(): Promise<Outcome[]> {
    const verified = new Map<string, Digest>();
    const drifted: Outcome[] = [];
    for (const { name, digest } of this.#durable.configs) {
      const now = await this.#applier.digestOfTarget(name);
      if (now.kind === "read" && now.digest === digest) {
        verified.set(name, digest);
        continue;
      }
      const { path } = targetOf(this.#options.targets, name);
      const what = now.kind === "unreadable" ? now.message : `${path} was changed on this machine`;
      drifted.push({ name, result: "unchanged", message: what });
    }
    this.#verified = verified;
    return drifted;
  }

  async #recover(): Promise<void> {
    const { intent } = this.#durable;
    if (intent.length === 0) return;
    try {
      for (const entry of intent.toReversed()) await this.#applier.recover(entry);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      // Such a target is reported as not held, so the node's next full sync heals it.
      this.#ports.log.error({ error: messageOf(error) }, "interrupted change not undone");
    }
    await this.#save({ ...this.#durable, intent: [] });
  }

  async #save(state: DurableState): Promise<string | undefined> {
    const trouble = await this.#storage.save(state);
    if (trouble === undefined) this.#durable = state;
    return trouble;
  }

  /** Own copies of contents that the node did not send, by digest. */
  async #readStored(
    offered: NonNullable<FullOrShort["configs"]>,
  ): Promise<Map<Digest, Uint8Array>> {
    const stored = new Map<Digest, Uint8Array>();
    for (const { name, digest, content } of offered) {
      if (content !== undefined || this.#verified.get(name) === digest) continue;
      const bytes = stored.get(digest) ?? (await this.#storage.readContent(digest));
      if (bytes !== undefined) stored.set(digest, bytes);
    }
    return stored;
  }

  #reply(outcomes: readonly Outcome[], hasState: boolean) {
    const { host, agentVersion } = this.#options;
    return buildReply({
      host,
      boot: this.#boot,
      agent: agentVersion,
      durable: this.#durable,
      verified: this.#verified,
      outcomes,
      state: hasState ? this.#state() : undefined,
    });
  }

  #state(): Record<string, unknown> | undefined {
    const { reportState } = this.#options;
    if (reportState === undefined) return undefined;
    try {
      return boundedState(reportState());
    } catch (error) {
      // A faulty report of the embedding program must not stop configs from arriving.
      this.#ports.log.warn({ error: messageOf(error) }, "state report failed");
      return { error: messageOf(error).slice(0, 200) };
    }
  }
}

function isBad({ result }: Outcome): boolean {
  return result === "rejected" || result === "failed" || result === "missing";
}

function failedBy(name: string, message: string): Outcome {
  return { name, result: "failed", message };
}

function sortedRecords(records: ReadonlyMap<string, Digest>): HeldRecord[] {
  return [...records]
    .map(([name, digest]) => ({ name, digest }))
    .toSorted((left, right) => (left.name < right.name ? -1 : 1));
}
