/** What the agent does for one mode; the mode keeper decides which of them run. */
import type { HostMode } from "../protocol/host-mode.ts";

export interface ModeDriver {
  readonly mode: HostMode;
  /** Uses the mode until `signal` aborts; rejects only with the abort's reason or a defect. */
  run(signal: AbortSignal): Promise<void>;
  /** Monotonic time of the last proof that the mode works; undefined: none since it runs. */
  workedAtMs(): number | undefined;
}
