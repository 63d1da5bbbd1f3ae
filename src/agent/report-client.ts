/**
 * Tells a node what became of a sync that the host fetched itself: `POST /coxswain/v1/report`.
 *
 * A report that is not heard is not kept: the next poll says what is held, and its owner asks again.
 */
import type { Random } from "../kernel/random.ts";
import type { Logger } from "../kernel/log.ts";
import { pollHeaders, reportPath } from "../protocol/poll.ts";
import { syncHeaders } from "../protocol/sync.ts";
import type { CallNode } from "./node-call.ts";
import type { Answer } from "./sync-request.ts";

/** Resolves with what the node wants next; undefined where no node could be told. */
export type Report = (
  reply: Pick<Answer, "status" | "body">,
  signal?: AbortSignal,
) => Promise<{ readonly needsSync: boolean } | undefined>;

const reportTimeoutMs = 5_000;
/** Nodes asked for one report: a second one, in case the first has just gone. */
const attemptsMax = 2;

export interface ReportClientPorts {
  readonly callNode: CallNode;
  readonly random: Random;
  readonly log: Logger;
}

export function createReportClient(
  { callNode, random, log }: ReportClientPorts,
  { host, nodes }: { readonly host: string; readonly nodes: readonly string[] },
): Report {
  const never = new AbortController().signal;
  return async ({ status, body }, signal = never) => {
    const first = Math.floor(random.next() * nodes.length);
    for (let attempt = 0; attempt < Math.min(attemptsMax, nodes.length); attempt++) {
      const node = nodes[(first + attempt) % nodes.length] ?? "";
      const answer = await callNode(
        {
          url: new URL(reportPath, node),
          method: "POST",
          headers: { [syncHeaders.host]: host, [pollHeaders.status]: String(status) },
          body: Buffer.from(JSON.stringify(body)),
          timeoutMs: reportTimeoutMs,
        },
        signal,
      );
      if (answer.kind === "answered" && answer.status === 200) {
        return { needsSync: needsSyncOf(answer.json) };
      }
      const reason = answer.kind === "answered" ? answer.status : answer.message;
      log.info({ node, reason }, "report not heard");
      // What one node refuses the others refuse, too.
      if (answer.kind === "answered" && answer.status < 500) return undefined;
    }
    return undefined;
  };
}

function needsSyncOf(json: unknown): boolean {
  return (
    typeof json === "object" && json !== null && "needsSync" in json && json.needsSync === true
  );
}
