/**
 * Every limit that publisher, node and host share, in one place, so that nothing is accepted at
 * one end that the other end must refuse. docs/limits.md is this table in words.
 */
export const limits = {
  /** Content of one release, before compression. */
  contentBytesMax: 1024 * 1024,
  /** Operational state a host returns in a reply, as JSON. */
  stateBytesMax: 16 * 1024,
  /** Objects and lists within each other in that state, itself counted. */
  stateDepthMax: 32,
  /** Configs on one host. */
  configsPerHostMax: 64,
  /** Labels on one host. */
  labelsPerHostMax: 32,
  labelKeyCharsMax: 63,
  labelValueCharsMax: 63,
  hostIdCharsMax: 128,
  configNameCharsMax: 128,
  addressCharsMax: 256,
  selectorCharsMax: 1024,
  selectorTermsMax: 16,
  /** The compressed `fleet` item: all active rules. */
  rulesBytesMax: 300 * 1024,
  nodesMax: 200,
  hostsPerPartitionMax: 2_000,
  partitionsMin: 64,
  partitionsMax: 65_536,
  /** One sync request: contents travel base64 at worst, and a host may hold many configs. */
  syncRequestBytesMax: 16 * 1024 * 1024,
  /** One sync request or reply on the wire, when it is compressed. */
  syncCompressedBytesMax: 4 * 1024 * 1024,
  /** One sync reply: state, one result a config, and messages. */
  syncReplyBytesMax: 64 * 1024,
  /** A host's explanation of one refused config. */
  resultMessageCharsMax: 2_000,
  /** JSON bodies of the API other than contents and imports. */
  apiBodyBytesMax: 64 * 1024,
  /** Hosts in one import request; longer files are sent in several. */
  importHostsMax: 10_000,
  importBodyBytesMax: 8 * 1024 * 1024,
  pageHostsMax: 1_000,
  /** A host's pointer and a manifest in an object store. */
  pointerBytesMax: 4 * 1024,
  /** What a host leaves there as its report: a sync reply and a few fields around it. */
  statusBytesMax: 65 * 1024,
  manifestBytesMax: 128 * 1024,
  /** One knock: a datagram that no network splits. */
  knockBytesMax: 256,
  /** All headers of an attach together; what a host needs is about 500. */
  attachHeaderBytesMax: 4 * 1024,
} as const;

/** Host ids, slots and label values: letters, digits, `.`, `_`, `-`, not at the ends. */
export const idPattern = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/;

/** Label keys: like ids, with at most one `/` after a prefix (`topology.example.com/zone`). */
export const labelKeyPattern =
  /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\/[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?$/;

/** Config names: like ids, with single `/` between parts; no part is `.` or `..`. */
export const configNamePattern =
  /^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?(?:\/[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?)*$/;

export const digestPattern = /^sha256:[0-9a-f]{64}$/;
