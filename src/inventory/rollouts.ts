/**
 * Rollouts: who put which release on which hosts, when, and how to take it back.
 *
 * A rollout's record is written first (state `starting`), then the fleet item. A crash between leaves
 * a record without effect, which lists do not show; the other order could leave a rule that nobody can
 * undo. The state people see is not stored but derived from the rules (`isInPlace`): what was
 * superseded cannot look active because somebody died before saying so.
 * Ids start with the fleet revision at the time, so that they sort by age.
 */
import { CoxswainError } from "../kernel/errors.ts";
import { randomId, type Random } from "../kernel/random.ts";
import { limits } from "../protocol/limits.ts";
import { keys, type Store } from "../store/store.ts";
import { writeUntilAnswered } from "./answered-write.ts";
import type { FleetStore } from "./fleet.ts";
import { parseConfigName, type Releases } from "./releases.ts";
import { decodeRollout, encodeRollout, type Rollout, type StoredRollout } from "./rollout-codec.ts";
import {
  certainConfigCount,
  isInPlace,
  patchedRules,
  supersededBy,
  type Fleet,
  type Patch,
  type Rule,
} from "./rules.ts";
import { formatSelector, parseSelector } from "./selector.ts";

const pageItemsMax = 500;
const pagesMax = 200;
const idPattern = /^\d{15}-[0-9a-f]{8}$/;

export interface RolloutRequest {
  readonly config: string;
  /** Null removes the config from the hosts that match. */
  readonly digest: string | null;
  readonly selector: string;
  readonly author: string;
  /** ISO text. */
  readonly at: string;
}

type Draft = Omit<StoredRollout, "id" | "state">;

/**
 * Called as soon as the rules are changed: hosts need not wait for what is then written for people. The change is
 * answered when both are done.
 */
type OnCommitted = () => Promise<void>;

const nobody: OnCommitted = () => Promise.resolve();

/** The rollouts in one store. */
export class Rollouts {
  readonly #store: Store;
  readonly #fleets: FleetStore;
  readonly #releases: Releases;
  readonly #random: Random;

  constructor(ports: {
    readonly store: Store;
    readonly fleets: FleetStore;
    readonly releases: Releases;
    readonly random: Random;
  }) {
    this.#store = ports.store;
    this.#fleets = ports.fleets;
    this.#releases = ports.releases;
    this.#random = ports.random.fork("rollouts");
  }

  /**
   * Puts a release on (or removes a config from) the hosts that the selector matches. Throws
   * CONFIG_INVALID, SELECTOR_INVALID, RELEASE_NOT_FOUND, RULES_FULL and the store's errors.
   */
  async start(request: RolloutRequest, committed = nobody): Promise<Rollout> {
    const config = parseConfigName(request.config);
    const selector = parseSelector(request.selector);
    if (request.digest !== null) await this.#releases.require(config, request.digest);
    const digest = request.digest ?? undefined;
    return this.#apply((fleet, revision, id) => {
      const rule: Rule = { rollout: id, config, digest, selector, revision };
      const superseded = supersededBy(fleet, rule);
      const draft: Draft = {
        config,
        digest,
        selector: formatSelector(selector),
        author: request.author,
        at: request.at,
        fleetRevision: revision,
        added: [rule],
        superseded,
      };
      checkConfigCount(fleet, draft, rule);
      return draft;
    }, committed);
  }

  /**
   * Drops the rules of a rollout and restores those it superseded, as a new rollout. Throws
   * ROLLOUT_NOT_FOUND, and ROLLOUT_SUPERSEDED where it is no longer what the rules say.
   */
  async undo(
    id: string,
    by: { readonly author: string; readonly at: string },
    committed = nobody,
  ): Promise<Rollout> {
    const undone = await this.#stored(id);
    if (undone === undefined) throw notFound(id);
    const rollout = await this.#apply((fleet, revision) => {
      if (!isInPlace(patchOf(undone), fleet)) {
        if (undone.state === "starting") throw notFound(id);
        throw supersededError(undone, fleet);
      }
      return undoDraft(undone, revision, by);
    }, committed);
    // Only a word for people: the rules already say that the rollout is out of effect.
    await this.#store
      .update(keys.rollout(id), { set: { state: "undone" } }, [
        { kind: "equal", attribute: "config", value: undone.config },
      ])
      .catch(ignoreStoreError);
    return rollout;
  }

  /** Undefined where there is none, or it never took effect. */
  async get(id: string): Promise<Rollout | undefined> {
    const stored = await this.#stored(id);
    return stored === undefined ? undefined : visible(stored, await this.#fleets.read());
  }

  /** The newest `limit` rollouts (1 to 1,000), newest first. */
  async list(limit: number): Promise<Rollout[]> {
    const wanted = Math.min(Math.max(1, limit), limits.pageHostsMax);
    const fleet = await this.#fleets.read();
    // Ids start with a revision and revisions are dense, so the newest are in a window of the last
    // ones; it widens where records without effect take up room.
    for (let span = wanted; ; span *= 4) {
      const from = Math.max(0, fleet.revision + 1 - span);
      const found = (await this.#after(idPrefix(from)))
        .map((stored) => visible(stored, fleet))
        .filter((rollout) => rollout !== undefined)
        .toSorted(newestFirst);
      if (found.length >= wanted || from === 0) return found.slice(0, wanted);
    }
  }

  async #apply(
    draftOf: (fleet: Fleet, revision: number, id: string) => Draft,
    committed: OnCommitted,
  ): Promise<Rollout> {
    let id = "";
    let last: Draft | undefined;
    const fleet = await this.#fleets.change(async (current, revision) => {
      // One id for all tries: a lost race rewrites the record instead of leaving one behind.
      if (id === "") id = `${idPrefix(revision)}-${randomId(this.#random, 8)}`;
      try {
        last = draftOf(current, revision, id);
      } catch (error) {
        if (last !== undefined) await this.#forget(id);
        throw error;
      }
      await this.#write({ ...last, id, state: "starting" });
      return patchOf(last);
    });
    if (last === undefined) throw new Error("Unreachable: a fleet changes only by a patch");
    const key = keys.rollout(id);
    // A failure here is harmless: the state is derived. It only spares readers a doubt later.
    const marked = this.#store
      .update(key, { set: { state: "active" } }, [
        { kind: "equal", attribute: "state", value: "starting" },
      ])
      .catch(ignoreStoreError);
    await Promise.all([committed(), marked]);
    return shown({ ...last, id, state: "active" }, fleet);
  }

  async #write(rollout: StoredRollout): Promise<void> {
    const item = { ...keys.rollout(rollout.id), attributes: encodeRollout(rollout) };
    await writeUntilAnswered(`rollout ${rollout.id}`, () => this.#store.put(item));
  }

  /** Drops the record of a try that lost its race and is now refused: its write cannot land any more. */
  async #forget(id: string): Promise<void> {
    await this.#store
      .delete(keys.rollout(id), [{ kind: "equal", attribute: "state", value: "starting" }])
      .catch(ignoreStoreError);
  }

  async #stored(id: string): Promise<StoredRollout | undefined> {
    if (!idPattern.test(id)) return undefined;
    const item = await this.#store.get(keys.rollout(id));
    return item === undefined ? undefined : decodeRollout(item);
  }

  async #after(prefix: string): Promise<StoredRollout[]> {
    const found: StoredRollout[] = [];
    let after = prefix;
    for (let pages = 0; pages < pagesMax; pages++) {
      const page = await this.#store.query(keys.rollout("").pk, { after, limit: pageItemsMax });
      found.push(...page.items.map(decodeRollout));
      if (page.next === undefined) return found;
      after = page.next;
    }
    return found;
  }
}

function idPrefix(revision: number): string {
  return String(revision).padStart(15, "0");
}

function newestFirst(left: Rollout, right: Rollout): number {
  if (left.fleetRevision !== right.fleetRevision) return right.fleetRevision - left.fleetRevision;
  return left.id < right.id ? 1 : -1;
}

function patchOf(rollout: Draft): Patch {
  const { config, added, superseded, fleetRevision } = rollout;
  return { config, added, superseded, revision: fleetRevision };
}

function visible(stored: StoredRollout, fleet: Fleet): Rollout | undefined {
  const isWithoutEffect = stored.state === "starting" && !isInPlace(patchOf(stored), fleet);
  return isWithoutEffect ? undefined : shown(stored, fleet);
}

function shown(stored: StoredRollout, fleet: Fleet): Rollout {
  if (isInPlace(patchOf(stored), fleet)) return { ...stored, state: "active" };
  return { ...stored, state: stored.state === "undone" ? "undone" : "superseded" };
}

function undoDraft(
  undone: StoredRollout,
  revision: number,
  by: { readonly author: string; readonly at: string },
): Draft {
  const [restored] = undone.superseded;
  const isPlainReturn =
    undone.superseded.length === 1 &&
    restored !== undefined &&
    formatSelector(restored.selector) === undone.selector;
  return {
    config: undone.config,
    digest: isPlainReturn ? restored.digest : undefined,
    selector: undone.selector,
    author: by.author,
    at: by.at,
    fleetRevision: revision,
    undoes: undone.id,
    added: undone.superseded,
    superseded: undone.added,
  };
}

function checkConfigCount(fleet: Fleet, draft: Draft, rule: Rule): void {
  if (rule.digest === undefined) return;
  const rules = patchedRules(fleet, patchOf(draft));
  const count = certainConfigCount({ revision: draft.fleetRevision, rules }, rule.selector);
  if (count <= limits.configsPerHostMax) return;
  throw new CoxswainError(
    "RULES_FULL",
    `Expected at most ${limits.configsPerHostMax} configs on one host, got ${count} on every host of ${draft.selector}`,
    { details: { selector: draft.selector, count, countMax: limits.configsPerHostMax } },
  );
}

function notFound(id: string): CoxswainError {
  return new CoxswainError(
    "ROLLOUT_NOT_FOUND",
    `Expected the id of a rollout, got ${JSON.stringify(id.slice(0, 80))}`,
    { details: { rollout: id.slice(0, 80) } },
  );
}

function supersededError(undone: StoredRollout, fleet: Fleet): CoxswainError {
  const newer = fleet.rules
    .filter((rule) => rule.config === undone.config && rule.revision > undone.fleetRevision)
    .map((rule) => rule.rollout);
  const reason = undone.state === "undone" ? "it has been undone" : "newer rollouts replaced it";
  return new CoxswainError(
    "ROLLOUT_SUPERSEDED",
    `Expected rollout ${undone.id} to be in effect, got: ${reason}`,
    { details: { rollout: undone.id, newer: [...new Set(newer)].slice(0, 10) } },
  );
}

function ignoreStoreError(error: unknown): void {
  if (!(error instanceof CoxswainError)) throw error;
}
