import { describe, expect, it } from "vitest";
import { syncReplySchema } from "../../protocol/sync.ts";
import { readSync, syncReply } from "./sync-answer.ts";

const manifest = `sha256:${"a".repeat(64)}`;
const request = (body: string) =>
  Buffer.from(
    `POST /coxswain/v1/sync HTTP/1.1\r\nhost: h\r\ncoxswain-fence: 1.2.3\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );

describe("the laboratory's host", () => {
  it("waits for the whole request", () => {
    const whole = request(JSON.stringify({ manifest }));
    for (const length of [0, 10, whole.length - 1]) {
      expect(readSync(whole.subarray(0, length))).toBeUndefined();
    }
    expect(readSync(whole)).toMatchObject({ fence: "1.2.3", manifest, isFull: false });
  });

  it("tells a full sync from a short one", () => {
    expect(readSync(request(JSON.stringify({ manifest, configs: [] })))?.isFull).toBe(true);
  });

  it("answers what the protocol asks for", () => {
    const [head, body = ""] = syncReply("host-1", "1.2.3", manifest).split("\r\n\r\n");
    expect(head).toContain(`content-length: ${body.length}`);
    expect(syncReplySchema.parse(JSON.parse(body))).toMatchObject({ host: "host-1", manifest });
  });
});
