/**
 * Just enough of a host's side of the sync protocol: reads one request, says what the host holds.
 *
 * For the laboratory's hosts alone, which trust their peer; docs/protocol.md has the whole of it.
 */
const headEnd = "\r\n\r\n";

export interface ReceivedSync {
  readonly fence: string;
  readonly manifest: string;
  /** It lists configs and does not only name the manifest. */
  readonly isFull: boolean;
  readonly body: string;
}

/** The request in `bytes`; undefined where it is not complete. Bodies are not compressed: they are small. */
export function readSync(bytes: Buffer): ReceivedSync | undefined {
  const bodyStart = bytes.indexOf(headEnd) + headEnd.length;
  if (bodyStart < headEnd.length) return undefined;
  const head = bytes.toString("latin1", 0, bodyStart);
  const bodyBytes = Number(header(head, "content-length") ?? 0);
  if (bytes.length < bodyStart + bodyBytes) return undefined;
  const body = bytes.toString("latin1", bodyStart, bodyStart + bodyBytes);
  return {
    fence: header(head, "coxswain-fence") ?? "0.0.0",
    manifest: /sha256:[\da-f]{64}/.exec(body)?.[0] ?? "",
    isFull: body.includes('"configs"'),
    body,
  };
}

export function syncReply(host: string, fence: string, manifest: string): string {
  const body = JSON.stringify({
    host,
    boot: "lab",
    agent: "lab/1",
    fence,
    view: "1",
    manifest,
    configs: [],
  });
  return `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

function header(head: string, name: string): string | undefined {
  const start = head.indexOf(`\r\n${name}: `);
  if (start === -1) return undefined;
  const valueStart = start + name.length + 4;
  return head.slice(valueStart, head.indexOf("\r\n", valueStart));
}
