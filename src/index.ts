/** The library: an agent to embed in a host's own program, and the protocol to write another one. */
export { createAgent, type Agent, type AgentOptions } from "./agent/agent.ts";
export {
  resolveAgentConfig,
  type AgentSettings,
  type RawAgentConfig,
} from "./agent/config-file.ts";
export { CoxswainError, errorRegistry, isCoxswainError, type ErrorCode } from "./kernel/errors.ts";
export { digestOf, manifestDigestOf, type Digest } from "./protocol/digest.ts";
export { formatFence, goesBack, parseFence, type Fence } from "./protocol/fence.ts";
export { limits } from "./protocol/limits.ts";
export {
  helloSchema,
  syncReplySchema,
  syncRequestSchema,
  type Hello,
  type SyncReply,
  type SyncRequest,
} from "./protocol/sync.ts";
