/**
 * Calls between nodes over the simulated network, answered by the shipped `answerPeer` of whatever
 * process has the address at the moment of arrival.
 */
import { CoxswainError, isCoxswainError } from "../src/kernel/errors.ts";
import type { Node } from "../src/node/node.ts";
import type { PeerCalls, Peers } from "../src/node/peers.ts";
import type { Network } from "./network.ts";
import type { ProcessClock } from "./process-clock.ts";

/** A process that listens at a fleet address. */
export interface PeerProcess {
  readonly slot: string;
  readonly clock: ProcessClock;
  readonly node: Node;
}

export interface SimPeersPorts {
  readonly network: Network;
  /** The process at a fleet address, or the slot whose machine has nothing listening. */
  readonly resolve: (fleetUrl: string) => { readonly slot: string; readonly process?: PeerProcess };
  /** An exception that no caller can have caused. */
  readonly onDefect: (error: unknown) => void;
  /** Told that the process of a slot answered a probe: it is no member. */
  readonly onUnready: (slot: string) => void;
}

type Answer<T> =
  | { readonly kind: "answered"; readonly value: T }
  | { readonly kind: "refused" | "failed" | "timedOut" };

export class SimPeers implements Peers {
  readonly #ports: SimPeersPorts;
  readonly #slot: string;
  readonly #clock: ProcessClock;
  #pendingCount = 0;

  constructor(ports: SimPeersPorts, slot: string, clock: ProcessClock) {
    this.#ports = ports;
    this.#slot = slot;
    this.#clock = clock;
  }

  get pendingCount(): number {
    return this.#pendingCount;
  }

  async call<Name extends keyof PeerCalls>(
    fleetUrl: string,
    name: Name,
    ask: PeerCalls[Name]["ask"],
    timeoutMs: number,
  ): Promise<PeerCalls[Name]["answer"]> {
    // Through JSON, as on the wire.
    const asked = JSON.parse(JSON.stringify(ask)) as PeerCalls[Name]["ask"];
    const answer = await this.#request(fleetUrl, timeoutMs, ({ node }) =>
      node.answerPeer(name, asked),
    );
    if (answer.kind === "answered") return JSON.parse(JSON.stringify(answer.value)) as never;
    throw new CoxswainError(
      "MEMBER_UNREACHABLE",
      `No answer from ${fleetUrl} to ${name}: ${answer.kind}`,
    );
  }

  async probe(fleetUrl: string, timeoutMs: number): Promise<"answered" | "refused" | "unknown"> {
    const answer = await this.#request(fleetUrl, timeoutMs, async ({ node }) => node.isMember());
    if (answer.kind === "answered") {
      if (!answer.value) this.#ports.onUnready(this.#ports.resolve(fleetUrl).slot);
      return answer.value ? "answered" : "refused";
    }
    return answer.kind === "refused" ? "refused" : "unknown";
  }

  async close(): Promise<void> {}

  #request<T>(
    fleetUrl: string,
    timeoutMs: number,
    ask: (process: PeerProcess) => Promise<T>,
  ): Promise<Answer<T>> {
    const { network, resolve, onDefect } = this.#ports;
    const { slot: target } = resolve(fleetUrl);
    this.#pendingCount++;
    return new Promise((settle) => {
      let isSettled = false;
      const end = (answer: Answer<T>) => {
        if (isSettled) return;
        isSettled = true;
        this.#pendingCount--;
        cancel();
        settle(answer);
      };
      const cancel = this.#clock.after(timeoutMs, () => end({ kind: "timedOut" }));
      const reply = (answer: Answer<T>) =>
        network.send(target, this.#slot, () => this.#clock.deliver(() => end(answer)));
      const execute = async (process: PeerProcess) => {
        try {
          const value = await ask(process);
          // A process that died meanwhile says nothing.
          if (process.clock.state !== "gone") reply({ kind: "answered", value });
        } catch (error) {
          if (!isCoxswainError(error)) onDefect(error);
          reply({ kind: "failed" });
        }
      };
      network.send(this.#slot, target, () => {
        const { process } = resolve(fleetUrl);
        if (process === undefined || network.isRefused(this.#slot, target)) {
          reply({ kind: "refused" });
        } else process.clock.deliver(() => void execute(process));
      });
    });
  }
}
