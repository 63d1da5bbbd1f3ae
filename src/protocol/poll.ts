/** What a host that fetches says to a node, and hears from it, besides the sync (docs/protocol.md). */
export const reportPath = "/coxswain/v1/report";

/** `host` as in the path of a URL. */
export const manifestPath = (host: string): string => `/coxswain/v1/hosts/${host}/manifest`;

/** Header names, lower case as Node delivers them. */
export const pollHeaders = {
  /** Digest of the manifest that the host holds. */
  held: "coxswain-held",
  /** How long the caller waits for an answer. */
  timeoutMs: "coxswain-timeout-ms",
  /** Seconds until the host should ask again; may have a fraction. */
  nextPoll: "coxswain-next-poll",
  /** Status that a reply would have had. */
  status: "coxswain-status",
} as const;
