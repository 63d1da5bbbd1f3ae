/**
 * The demo's hosts as the parent process sees them: one child that runs all agents.
 */
import { CoxswainError } from "../../kernel/errors.ts";
import type { AgentAnswer, AgentCommand, HeldFile } from "./agent-messages.ts";
import { assertRunning, type DemoChild } from "./child-process.ts";
import { demoCluster, demoConfig, type HostPlan } from "./demo-plan.ts";

export class AgentFleet {
  readonly #child: DemoChild;
  readonly #nodes: readonly string[];
  readonly #waiting = new Map<number, (answer: AgentAnswer) => void>();
  readonly #running = new Set<string>();
  #number = 0;

  /** `nodes`: fleet URLs to which the agents say hello. */
  constructor(child: DemoChild, nodes: readonly string[]) {
    this.#child = child;
    this.#nodes = nodes;
    child.onMessage((message) => {
      const answer = message as AgentAnswer;
      this.#waiting.get(answer.number)?.(answer);
      this.#waiting.delete(answer.number);
    });
  }

  isRunning(id: string): boolean {
    return this.#running.has(id);
  }

  get runningCount(): number {
    return this.#running.size;
  }

  async start(hosts: readonly HostPlan[]): Promise<void> {
    await this.#ask({ kind: "start", cluster: demoCluster, nodes: this.#nodes, hosts });
    for (const { id } of hosts) this.#running.add(id);
  }

  async stop(ids: readonly string[]): Promise<void> {
    await this.#ask({ kind: "stop", ids });
    for (const id of ids) this.#running.delete(id);
  }

  /** What each running host has on its disk, by the hosts' own word. */
  async held(): Promise<readonly HeldFile[]> {
    return (await this.#ask({ kind: "held", config: demoConfig })).held ?? [];
  }

  async #ask(command: AgentCommand): Promise<AgentAnswer> {
    assertRunning(this.#child);
    const number = ++this.#number;
    const answered = new Promise<AgentAnswer>((resolve) => this.#waiting.set(number, resolve));
    this.#child.send({ number, command });
    const answer = await Promise.race([answered, this.#child.exited]);
    if (typeof answer !== "object") {
      assertRunning(this.#child);
      throw new CoxswainError("DEMO_FAILED", `${this.#child.name} ended before it answered`);
    }
    if (answer.error !== undefined) {
      throw new CoxswainError("DEMO_FAILED", `${this.#child.name}: ${answer.error}`);
    }
    return answer;
  }
}
