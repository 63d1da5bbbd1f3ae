/**
 * Recognises the reply of a host that is in sync, without parsing JSON for each of thousands that say the same.
 *
 * Hosts of one rollout answer alike but for who they are. What follows the manifest in such an answer (configs
 * and state) is kept as text with what it was found to mean; of what comes before it, host, fence and manifest
 * must be those that were sent, and boot, agent and view plain text. Everything else, a reply in another order
 * or with a blank included, is for the parser: this never accepts what the parser refuses, and gives the
 * same value. A property test compares the two.
 */
import { isAscii } from "node:buffer";
import type { HostId } from "../inventory/host.ts";
import type { Digest } from "../protocol/digest.ts";
import type { SyncReply } from "../protocol/sync.ts";
import { readUsualReply, sharedAgent } from "./usual-reply.ts";

/** What a host in sync repeats. */
export interface Repeated {
  readonly host: HostId;
  readonly manifest: Digest;
  /** As it was sent; undefined where the reply is a report. */
  readonly fenceText?: string;
}

type Tail = Pick<SyncReply, "configs" | "state">;

const tailsMax = 64;
const replyBytesMax = 4_096;
/** For reading a tail alone. */
const nobody = {
  host: "",
  boot: "",
  agent: "",
  fence: "",
  view: "",
  manifest: `sha256:${"0".repeat(64)}`,
};
/** What a reply of the usual order has between its values. */
const marks = {
  host: '{"host":"',
  boot: '","boot":"',
  agent: '","agent":"',
  fence: '","fence":"',
  view: '","view":"',
  manifest: '","manifest":"',
} as const;
/** Without quotes, escapes and control characters: the value is the text. */
const plainPattern = /^[\w .:/+-]{1,64}$/;
export const viewPattern = /^(?:0|[1-9]\d{0,15})$/;

const tails = new Map<string, Tail>();
/** The tail of the last reply that the parser had to read: kept where the next one has the same. */
let candidate = "";

/** The reply, where it is known to say that the host holds what was sent. */
export function readKnownReply(body: Buffer, sent: Repeated): SyncReply | undefined {
  const { host, manifest, fenceText } = sent;
  if (tails.size === 0 || fenceText === undefined) return undefined;
  const text = body.toString("latin1");
  if (!text.startsWith(marks.host) || !text.startsWith(host, marks.host.length)) return undefined;
  const hostEnd = marks.host.length + host.length;
  if (!text.startsWith(marks.boot, hostEnd)) return undefined;
  const bootStart = hostEnd + marks.boot.length;
  const bootEnd = text.indexOf('"', bootStart);
  if (bootEnd === -1 || !text.startsWith(marks.agent, bootEnd)) return undefined;
  const agentStart = bootEnd + marks.agent.length;
  const agentEnd = text.indexOf('"', agentStart);
  if (agentEnd === -1 || !text.startsWith(marks.fence, agentEnd)) return undefined;
  const fenceStart = agentEnd + marks.fence.length;
  const fenceEnd = fenceStart + fenceText.length;
  if (!text.startsWith(fenceText, fenceStart) || !text.startsWith(marks.view, fenceEnd)) {
    return undefined;
  }
  const viewStart = fenceEnd + marks.view.length;
  const viewEnd = text.indexOf('"', viewStart);
  if (viewEnd === -1 || !text.startsWith(marks.manifest, viewEnd)) return undefined;
  const manifestStart = viewEnd + marks.manifest.length;
  if (!text.startsWith(manifest, manifestStart)) return undefined;
  const tail = tails.get(text.slice(manifestStart + manifest.length));
  if (tail === undefined) return undefined;
  // A slice would keep all of the text as long as the host's status keeps its boot.
  const boot = body.toString("latin1", bootStart, bootEnd);
  const agent = text.slice(agentStart, agentEnd);
  const view = text.slice(viewStart, viewEnd);
  if (!plainPattern.test(boot) || !plainPattern.test(agent) || !viewPattern.test(view)) {
    return undefined;
  }
  return { host, boot, agent: sharedAgent(agent), fence: fenceText, view, manifest, ...tail };
}

/** Takes note of a reply that the parser read, and that says that the host holds what was sent. */
export function noteReply(body: Buffer, reply: SyncReply): void {
  if (body.length > replyBytesMax || !isAscii(body)) return;
  const start = startOf(reply);
  const text = body.toString("latin1");
  if (!text.startsWith(start)) return;
  const tail = text.slice(start.length);
  if (tail !== candidate) {
    candidate = tail;
    return;
  }
  const meaning = meaningOf(tail);
  if (meaning === undefined) return;
  if (tails.size >= tailsMax) tails.clear();
  tails.set(tail, meaning);
}

/** Undefined where the tail says anything else than configs and state, such as the host once more. */
function meaningOf(tail: string): Tail | undefined {
  const start = startOf(nobody);
  const reply = readUsualReply(JSON.parse(start + tail));
  if (reply === undefined || startOf(reply) !== start) return undefined;
  const { configs, state } = reply;
  return state === undefined ? { configs } : { configs, state };
}

function startOf({
  host,
  boot,
  agent,
  fence,
  view,
  manifest,
}: Omit<SyncReply, keyof Tail>): string {
  return (
    marks.host +
    host +
    marks.boot +
    boot +
    marks.agent +
    agent +
    marks.fence +
    fence +
    marks.view +
    view +
    marks.manifest +
    manifest
  );
}
