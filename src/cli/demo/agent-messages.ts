/**
 * What the demo and the process that runs its agents say to each other, over the child's channel.
 */
import type { HostPlan } from "./demo-plan.ts";

export type AgentCommand =
  /** Starts the agents of these hosts, each on its own port and folder. */
  | {
      readonly kind: "start";
      readonly cluster: string;
      readonly nodes: readonly string[];
      readonly hosts: readonly HostPlan[];
    }
  | { readonly kind: "stop"; readonly ids: readonly string[] }
  /** Asks what each running host has on disk: the digest of the file `config` that it keeps. */
  | { readonly kind: "held"; readonly config: string };

export interface AgentRequest {
  readonly number: number;
  readonly command: AgentCommand;
}

/** `digest` is undefined where the host has no such file yet. */
export interface HeldFile {
  readonly id: string;
  readonly digest: string | undefined;
}

export interface AgentAnswer {
  readonly number: number;
  readonly error?: string;
  /** Answer to `held`: running hosts, sorted by id. */
  readonly held?: readonly HeldFile[];
}
