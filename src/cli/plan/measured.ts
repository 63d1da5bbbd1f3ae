/**
 * Constants that `plan` reckons with, each with where it comes from. The measured ones were taken on two
 * cores of an AMD EPYC that senders and hosts shared (docs/benchmarks.md has rows, rounds and load);
 * another machine has others: what counts is the order of magnitude and what grows with what. Those that
 * no benchmark has measured yet say so.
 */
interface Constant {
  readonly value: number;
  readonly source: string;
}

export const measured = {
  processBytes: { value: 130e6, source: "assumed: a Node.js process with a node's libraries" },
  idleHostBytes: {
    value: 1_090,
    source: "bench -- memory --idle-hosts 100000: resident, per host",
  },
  connectionBytes: { value: 5_300, source: "bench -- memory: socket transport, per connection" },
  pushCpuSeconds: { value: 37e-6, source: "bench -- push: warm, sender's CPU per push" },
  firstPushCpuSeconds: { value: 102e-6, source: "bench -- push: cold, sender's CPU per push" },
  detectSeconds: { value: 3.6, source: "bench -- takeover: p50 with 300 hosts, all included" },
  loadHostSeconds: { value: 20e-6, source: "assumed: 1 us to decode, the rest client and queue" },
  requestBytes: { value: 500, source: "assumed: headers and digests of docs/protocol.md" },
  replyBytes: { value: 600, source: "assumed: a reply with a small state" },
} as const satisfies Readonly<Record<string, Constant>>;
