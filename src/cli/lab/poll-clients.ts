/**
 * Hosts that poll: each calls once an interval on a connection of its own, gives up after the timeout, and
 * tries again as its policy says.
 *
 * Open loop: a call is due when it is due, however the last one went; a host whose next call is due gives
 * up the one before. Connections end with a reset, which leaves no port waiting in the kernel.
 */
import { connect, type Socket } from "node:net";
import { DueHosts } from "./due-hosts.ts";
import type { SceneRun } from "./fleet-side.ts";
import { hostName, machineMs, type Scene } from "./lab-scene.ts";
import { pollRequest } from "./poll-server.ts";
import {
  backoffRetries,
  hardenedRetries,
  naiveRetries,
  retryDelayMs,
  RetryBudget,
  type RetryPolicy,
} from "./retry-policy.ts";

interface Call {
  failedTries: number;
  socket: Socket | undefined;
  cancelTimer: () => void;
}

export class PollClients {
  readonly #run: SceneRun;
  readonly #policy: RetryPolicy;
  readonly #budgets: readonly RetryBudget[];
  readonly #calls = new Map<number, Call>();
  #port = 0;

  constructor(run: SceneRun) {
    this.#run = run;
    this.#policy = policyOf(run.scene);
    const { budgetRatio } = this.#policy;
    const count = budgetRatio === undefined ? 0 : run.scene.hosts;
    // Savings as in a fleet that has run for a while: anything from none to one retry.
    this.#budgets = Array.from(
      { length: count },
      () => new RetryBudget(budgetRatio ?? 0, run.random.next()),
    );
  }

  start(port: number): void {
    this.#port = port;
    const { hosts, intervalMs } = this.#run.scene;
    this.#run.eachDue(new DueHosts(hosts, intervalMs), 0, (host) => this.#call(host));
  }

  stop(): void {
    for (const call of this.#calls.values()) giveUp(call);
    this.#calls.clear();
  }

  #call(host: number): void {
    const before = this.#calls.get(host);
    if (before !== undefined) giveUp(before);
    const call: Call = { failedTries: 0, socket: undefined, cancelTimer: () => {} };
    this.#calls.set(host, call);
    this.#run.counter.offered();
    this.#budgets[host]?.earn();
    this.#try(host, call);
  }

  #try(host: number, call: Call): void {
    const { counter, scene } = this.#run;
    counter.tried();
    const isLost = this.#run.isLost();
    const deadlineMs = machineMs() + scene.timeoutMs;
    const socket = connect({ host: "127.0.0.1", port: this.#port, noDelay: true });
    call.socket = socket;
    call.cancelTimer = this.#run.after(scene.timeoutMs, () => this.#failed(host, call));
    let reply = "";
    socket.on("connect", () => socket.write(pollRequest(hostName(host), deadlineMs)));
    socket.on("data", (bytes: Buffer) => {
      if (isLost || call.socket !== socket) return;
      reply += bytes.toString("latin1");
      const said = readReply(reply);
      if (said === "served") this.#served(host, call);
      else if (said === "refused") this.#failed(host, call);
    });
    const onEnd = () => {
      if (!isLost && call.socket === socket) this.#failed(host, call);
    };
    socket.on("error", onEnd);
    socket.on("close", onEnd);
  }

  #served(host: number, call: Call): void {
    giveUp(call);
    this.#calls.delete(host);
    this.#run.counter.arrived();
  }

  #failed(host: number, call: Call): void {
    giveUp(call);
    if (this.#run.isStopped) return;
    call.failedTries++;
    const draw = this.#run.random.next();
    const delayMs = retryDelayMs(this.#policy, call.failedTries, this.#budgets[host], draw);
    if (delayMs === undefined) this.#calls.delete(host);
    else call.cancelTimer = this.#run.after(delayMs, () => this.#try(host, call));
  }
}

function policyOf({ shape, timeoutMs }: Scene): RetryPolicy {
  if (shape === "naive") return naiveRetries;
  return shape === "backoff" ? backoffRetries(timeoutMs) : hardenedRetries(timeoutMs);
}

/** Ends the try under way, if any; nothing is counted. */
function giveUp(call: Call): void {
  const { socket } = call;
  call.socket = undefined;
  call.cancelTimer();
  if (socket === undefined) return;
  if (socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}

function readReply(text: string): "served" | "refused" | undefined {
  const bodyStart = text.indexOf("\r\n\r\n") + 4;
  if (bodyStart < 4) return undefined;
  const bodyBytes = Number(/content-length: (\d+)/.exec(text)?.[1] ?? 0);
  if (text.length < bodyStart + bodyBytes) return undefined;
  return text.startsWith("HTTP/1.1 200") ? "served" : "refused";
}
