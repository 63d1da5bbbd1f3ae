/**
 * `demo` in a terminal: a calm picture of the cluster, and keys that break and mend it.
 */
import { createLogUpdate } from "log-update";
import type { WriteStream } from "node:tty";
import { messageOf } from "../../kernel/errors.ts";
import { print, type CliContext } from "../cli-context.ts";
import { formatCounts } from "../format.ts";
import type { DemoCluster } from "./demo-cluster.ts";
import { renderFrame, type DemoFrame } from "./demo-frame.ts";
import { DemoWatch } from "./demo-watch.ts";

const redrawIntervalMs = 500;
/** Without a terminal a line is written at most this often, and only when something changed. */
const plainIntervalMs = 5_000;
const stoppedHostsCount = 20;
const waitingKeysMax = 4;

/** Runs until `q`, Ctrl-C or `signal`. */
export async function runLive(
  cluster: DemoCluster,
  context: CliContext,
  signal: AbortSignal,
): Promise<void> {
  const quit = new AbortController();
  const ending = AbortSignal.any([signal, quit.signal]);
  const watch = new DemoWatch(cluster);
  const following = watch.followEvents(context, ending);
  try {
    await (context.stdout.isTerminal && context.readKeys !== undefined
      ? drawUntil(ending, new LiveView(cluster, watch, context, quit))
      : printUntil(ending, cluster, watch, context));
  } catch (error) {
    if (!ending.aborted) throw error;
  } finally {
    quit.abort();
    await following;
  }
}

async function drawUntil(ending: AbortSignal, view: LiveView): Promise<void> {
  view.open();
  try {
    for (;;) await view.turn(ending);
  } finally {
    view.close();
  }
}

async function printUntil(
  ending: AbortSignal,
  cluster: DemoCluster,
  watch: DemoWatch,
  { stdout, clock }: CliContext,
): Promise<void> {
  let lastLine = "";
  for (;;) {
    await watch.refresh(ending);
    const members = watch.status?.view.members.map(({ slot, hosts }) => `${slot} ${hosts ?? "?"}`);
    const line =
      watch.status === undefined
        ? "no node answers"
        : `release ${cluster.release?.number ?? 0}, ${formatCounts(watch.status.hosts)}; ${members?.join(", ")}`;
    if (line !== lastLine) print(stdout, line);
    lastLine = line;
    await clock.sleep(plainIntervalMs, ending);
  }
}

/** What a key does; `run` resolves with the sentence to show. */
interface Action {
  readonly doing: string;
  readonly run: () => Promise<string>;
}

class LiveView {
  readonly #cluster: DemoCluster;
  readonly #watch: DemoWatch;
  readonly #context: CliContext;
  readonly #quit: AbortController;
  readonly #startMs: number;
  readonly #screen: ReturnType<typeof createLogUpdate>;
  #note = "Press a key and watch what happens.";
  /** Keys wait for the one before them, a few at most: leaning on a key piles nothing up. */
  #doing: Promise<void> = Promise.resolve();
  #waitingCount = 0;
  #stopKeys: (() => void) | undefined;

  constructor(cluster: DemoCluster, watch: DemoWatch, context: CliContext, quit: AbortController) {
    this.#cluster = cluster;
    this.#watch = watch;
    this.#context = context;
    this.#quit = quit;
    this.#startMs = context.clock.monotonicMs();
    this.#screen = createLogUpdate(context.stdout.stream as WriteStream);
  }

  open(): void {
    this.#stopKeys = this.#context.readKeys?.((key) => this.#press(key));
  }

  close(): void {
    this.#stopKeys?.();
    this.#screen.done();
  }

  async turn(ending: AbortSignal): Promise<void> {
    await this.#watch.refresh(ending);
    this.#draw();
    await this.#context.clock.sleep(redrawIntervalMs, ending);
  }

  #draw(): void {
    const { stdout } = this.#context;
    const { columns, rows } = stdout.size();
    // One row less than there is: the cursor stands below the frame.
    const lines = renderFrame(this.#frame(), { columns, rows: rows - 1 }, stdout.hasColours);
    this.#screen(lines.join("\n"));
  }

  #frame(): DemoFrame {
    const { release, plan } = this.#cluster;
    const { rollout, status, unreachable, events } = this.#watch;
    return {
      elapsedMs: this.#context.clock.monotonicMs() - this.#startMs,
      status,
      nodes: plan.nodes.map(({ slot, apiUrl }) => ({
        slot,
        apiUrl,
        pid: this.#cluster.pidOf(slot),
      })),
      release: release && {
        ...release,
        rollout: rollout?.id === release.rolloutId ? rollout : undefined,
      },
      unreachable,
      events: events.lines(),
      note: this.#note,
      program: "node bin/coxswain.js",
    };
  }

  #press(key: string): void {
    if (key === "q" || key === "\u0003") {
      this.#quit.abort(new Error("quit"));
      return;
    }
    const action = this.#actions[key];
    if (action === undefined || this.#waitingCount === waitingKeysMax) return;
    this.#waitingCount += 1;
    this.#doing = this.#doing
      .then(() => this.#carryOut(action))
      .catch((error: unknown) => this.#quit.abort(error));
  }

  async #carryOut({ doing, run }: Action): Promise<void> {
    this.#show(`${doing} …`);
    // What a key failed to do is a sentence like what it did: the view goes on.
    const note = await run().catch((error: unknown) => messageOf(error));
    this.#waitingCount -= 1;
    this.#show(note);
  }

  #show(note: string): void {
    this.#note = note;
    if (!this.#quit.signal.aborted) this.#draw();
  }

  readonly #actions: Readonly<Record<string, Action>> = {
    k: {
      doing: "Killing a node",
      run: async () => {
        if (this.#cluster.runningNodes().length < 2) {
          return "The last node stays: start the others again first (r).";
        }
        const { slot, hostsCount } = await this.#cluster.busiestNode();
        await this.#cluster.killNode(slot);
        return `${slot} got SIGKILL: the others notice its silence and take over its ${hostsCount} hosts.`;
      },
    },
    r: {
      doing: "Starting nodes",
      run: async () => {
        const stopped = this.#cluster.plan.nodes.filter(
          ({ slot }) => this.#cluster.pidOf(slot) === undefined,
        );
        for (const node of stopped) this.#cluster.startNode(node);
        const names = stopped.map(({ slot }) => slot).join(", ");
        return stopped.length === 0
          ? "Every node runs."
          : `${names} started: it joins and gets its share back.`;
      },
    },
    s: {
      doing: "Stopping hosts",
      run: async () => {
        const { agents, plan } = this.#cluster;
        const ids = plan.hosts.map(({ id }) => id).filter((id) => agents.isRunning(id));
        const chosen = ids.slice(0, stoppedHostsCount);
        await agents.stop(chosen);
        return `${chosen.length} hosts stopped: their owners find out at the next push or sweep.`;
      },
    },
    b: {
      doing: "Starting hosts",
      run: async () => {
        const { agents, plan } = this.#cluster;
        const stopped = plan.hosts.filter(({ id }) => !agents.isRunning(id));
        await agents.start(stopped);
        return stopped.length === 0
          ? "Every host runs."
          : `${stopped.length} hosts are back: each says hello and gets the newest state, once.`;
      },
    },
    o: {
      doing: "Publishing a release",
      run: async () => {
        const release = await this.#cluster.rollOut();
        return `Release ${release.number} is on its way (rollout ${release.rolloutId}).`;
      },
    },
  };
}
