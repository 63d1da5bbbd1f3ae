/** Situations for tests of the pure decisions: members, beats and what a detector has counted. */
import type { View } from "../ring/view.ts";
import { absentKey, type DetectorState, type Track } from "./detector.ts";
import { beatKey, type MemberReport } from "./member.ts";
import { membershipDefaults } from "./options.ts";
import { noFlaps } from "./probation.ts";
import type { Situation } from "./situation.ts";

export interface MemberSetting extends Partial<MemberReport> {
  readonly slot: string;
  /** How the observer's detector stands; `living` unless said otherwise. */
  readonly is?: "living" | "silent" | "overdue" | "refused" | "unproven" | "stale";
  /** Whether the view holds it, and how; `active` unless said otherwise. */
  readonly inView?: "active" | "leaving" | "absent";
  /** Incarnation that the view holds, where it is not the item's. */
  readonly viewIncarnation?: number;
  readonly hasItem?: boolean;
}

/** Version of the view in every built situation. */
export const builtVersion = 7;

/** The situation of the first member, which sees itself and the others. */
export function buildSituation(settings: readonly MemberSetting[], isTrusted = true): Situation {
  const members = new Map<string, MemberReport>();
  const tracks = new Map<string, Track>();
  for (const setting of settings) {
    const member = buildMember(setting);
    if (setting.hasItem !== false) members.set(member.slot, member);
    tracks.set(member.slot, buildTrack(setting, member));
  }
  const first = settings[0];
  if (first === undefined) throw new Error("A situation needs the observer");
  const detector: DetectorState = {
    tracks,
    lastAttemptMs: 0,
    lastCountedMs: 0,
    failedReads: 0,
    isTrusted,
  };
  const self = { slot: first.slot, incarnation: first.incarnation ?? 1 };
  return { view: buildView(settings), self, members, corrupt: new Set(), detector };
}

export function buildMember(setting: MemberSetting): MemberReport {
  const { is: _is, inView: _inView, viewIncarnation: _view, hasItem: _has, ...own } = setting;
  const url = `http://${setting.slot}.test`;
  const identity = { weight: 1, zone: "", url, fleetUrl: url };
  const life = {
    incarnation: 1,
    holder: `holder-${setting.slot}`,
    beat: 10,
    intent: "run",
  } as const;
  const viewSeen = { generation: 1, version: builtVersion };
  const progress = { viewSeen, placementHash: "hash", hosts: 0, pushes: 0, queued: 0 };
  const record = { graceMs: 0, stalledBeats: 0, flaps: noFlaps, restored: null, suspects: {} };
  const mark = { evicting: undefined, evictReason: undefined };
  return { ...identity, ...life, ...progress, ...record, ...mark, ...own };
}

function buildView(settings: readonly MemberSetting[]): View {
  const members = settings
    .filter((setting) => setting.inView !== "absent")
    .map((setting) => {
      const { slot, weight, zone, url, fleetUrl, incarnation } = buildMember(setting);
      const state = setting.inView === "leaving" ? ("leaving" as const) : ("active" as const);
      const held = setting.viewIncarnation ?? incarnation;
      return { slot, incarnation: held, state, weight, zone, url, fleetUrl };
    });
  return { generation: 1, version: builtVersion, members };
}

function buildTrack(setting: MemberSetting, member: MemberReport): Track {
  const { silenceMs, silenceReadsMin, probeAfterMissedBeats } = membershipDefaults;
  const key = setting.hasItem === false ? absentKey : beatKey(member);
  const fresh = {
    key,
    reads: 0,
    sinceMs: 0,
    unchangedMs: 0,
    isProven: true,
    isRefused: false,
    graceMs: 0,
  };
  switch (setting.is ?? "living") {
    case "living":
      return fresh;
    case "silent":
      return { ...fresh, reads: silenceReadsMin, unchangedMs: silenceMs };
    case "overdue":
      return { ...fresh, reads: probeAfterMissedBeats };
    case "refused":
      return { ...fresh, isRefused: true };
    case "unproven":
      return { ...fresh, isProven: false };
    case "stale":
      return { ...fresh, reads: 3, isProven: false };
  }
}
