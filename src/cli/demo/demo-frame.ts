/**
 * One frame of the demo's live view: a pure function from what is known to lines.
 *
 * Lines fit the terminal: long ones are cut, and what there is no room for is left out from the
 * middle (problems and events), never the counts or the keys.
 */
import type { HostView, RolloutView, StatusView } from "../api-shapes.ts";
import { paint, type Colour } from "../cli-context.ts";
import { printable, shortDigest, type SyncCounts } from "../format.ts";

interface FrameNode {
  readonly slot: string;
  /** Undefined while its process does not run. */
  readonly pid: number | undefined;
  readonly apiUrl: string;
}

export interface DemoFrame {
  readonly elapsedMs: number;
  /** The newest answer; undefined while no node answers. */
  readonly status: StatusView | undefined;
  readonly nodes: readonly FrameNode[];
  readonly release:
    | {
        readonly number: number;
        readonly digest: string;
        readonly rollout: Pick<RolloutView, "state" | "counts"> | undefined;
      }
    | undefined;
  readonly unreachable: readonly HostView[];
  /** Newest last. */
  readonly events: readonly string[];
  /** What the last key did. */
  readonly note: string;
  /** Folder and file of the program, for the shell commands shown. */
  readonly program: string;
}

export interface FrameSize {
  readonly columns: number;
  readonly rows: number;
}

/** Text with a colour; a line is several of them. */
type Span = readonly [text: string, colour?: Colour];
type Line = readonly Span[];

const blank: Line = [];

/** At most `size.rows` lines of at most `size.columns` characters. */
export function renderFrame(frame: DemoFrame, size: FrameSize, hasColours: boolean): string[] {
  const top = [...headLines(frame), blank, ...nodeLines(frame, Math.max(2, size.rows - 16)), blank];
  const middle = [...hostLines(frame, size.columns), blank];
  const bottom = [blank, ...keyLines(frame, size.columns)];
  const room = size.rows - top.length - middle.length - bottom.length;
  const lines = [...top, ...middle, ...detailLines(frame, room), ...bottom];
  return lines.slice(0, size.rows).map((line) => renderLine(line, size.columns, hasColours));
}

function renderLine(line: Line, columns: number, hasColours: boolean): string {
  let left = columns;
  let text = "";
  for (const [span, colour] of line) {
    const shown = span.slice(0, left);
    left -= shown.length;
    text += colour === undefined ? shown : paint({ hasColours }, colour, shown);
  }
  return text;
}

function headLines({ status, elapsedMs }: DemoFrame): Line[] {
  const elapsed = new Date(elapsedMs).toISOString().slice(11, 19);
  const view =
    status === undefined
      ? "no node answers"
      : `view ${status.view.generation}.${status.view.version}, ${status.cluster.partitions} partitions`;
  return [
    [
      ["Coxswain demo", "bold"],
      [`   ${view}   ${elapsed}`, "dim"],
    ],
  ];
}

function nodeLines({ nodes, status }: DemoFrame, rowsMax: number): Line[] {
  const head = "NODE        PROCESS      IN THE VIEW  PARTITIONS  HOSTS  API";
  const shown = nodes.slice(0, rowsMax - 1);
  const rows = shown.map(({ slot, pid, apiUrl }): Line => {
    const member = status?.view.members.find((candidate) => candidate.slot === slot);
    const process = pid === undefined ? "stopped" : `pid ${pid}`;
    const state = member?.state ?? "no";
    return [
      [slot.padEnd(12), "bold"],
      [process.padEnd(13), pid === undefined ? "red" : undefined],
      [printable(state).padEnd(13), state === "active" ? "green" : "yellow"],
      [String(member?.partitions ?? 0).padEnd(12)],
      [String(member?.hosts ?? 0).padEnd(7)],
      [apiUrl, "dim"],
    ].map(([text, colour]) => (colour === undefined ? [text] : [text, colour]) as Span);
  });
  const hidden = nodes.length - shown.length;
  return [
    [[head, "dim"]],
    ...rows,
    ...(hidden > 0 ? [[[`… and ${hidden} more`, "dim"]] as Line] : []),
  ];
}

function hostLines({ status, release }: DemoFrame, columns: number): Line[] {
  if (status === undefined) return [[["hosts: not known", "yellow"]]];
  const { total, applied, pending, rejected, unreachable, neverSeen } = status.hosts;
  const rare = [
    ...(rejected > 0 ? [`  ${rejected} rejected`] : []),
    ...(neverSeen > 0 ? [`  ${neverSeen} never seen`] : []),
  ];
  const lines: Line[] = [
    barLine(status.hosts, columns),
    [
      [`${total} hosts: `],
      [`█ ${applied} in sync`, "green"],
      ["  "],
      [`▒ ${pending} pending`, "yellow"],
      ["  "],
      [`░ ${unreachable} unreachable`, "red"],
      [rare.join("")],
    ],
  ];
  if (release !== undefined) {
    const { number, digest, rollout } = release;
    lines.push([
      [`release ${number} of routes.json (${shortDigest(digest)})${standingOf(rollout)}`],
    ]);
  }
  return lines;
}

/** The counts of a rollout that others took the hosts of are those of before. */
function standingOf(rollout: Pick<RolloutView, "state" | "counts"> | undefined): string {
  if (rollout === undefined) return "";
  const { state, counts } = rollout;
  if (state === "superseded" || state === "undone") return `: ${state} by another rollout`;
  return counts === undefined ? "" : `: on ${counts.applied} of ${counts.total} hosts`;
}

/** The bar: cells in proportion, at least one for whatever is not zero. */
function barLine(counts: SyncCounts, columns: number): Line {
  const width = Math.max(10, columns - 2);
  const parts: [number, string, Colour][] = [
    [counts.applied, "█", "green"],
    [counts.pending + counts.neverSeen, "▒", "yellow"],
    [counts.unreachable + counts.rejected, "░", "red"],
  ];
  const cells = cellsOf(
    parts.map(([count]) => count),
    width,
  );
  return parts.map(([, glyph, colour], index): Span => [glyph.repeat(cells[index] ?? 0), colour]);
}

/** Whole cells for `counts` that add up to `width` (to 0 where all counts are 0). */
export function cellsOf(counts: readonly number[], width: number): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return counts.map(() => 0);
  const cells = counts.map((count) =>
    count === 0 ? 0 : Math.max(1, Math.floor((count * width) / total)),
  );
  const largest = counts.indexOf(Math.max(...counts));
  const used = cells.reduce((sum, count) => sum + count, 0);
  cells[largest] = (cells[largest] ?? 0) + width - used;
  return cells;
}

/** Unreachable hosts with their reason, then the newest events, in the room there is. */
function detailLines({ unreachable, status, events }: DemoFrame, room: number): Line[] {
  if (room < 2) return [];
  const listed = unreachable.slice(0, Math.max(1, Math.floor(room / 2) - 2));
  const lines: Line[] = listed.map(({ id, lastError }) => [
    [`${printable(id)} `.padEnd(10), "red"],
    [lastError === null ? "" : printable(`${lastError.class}: ${lastError.message}`)],
  ]);
  const rest = (status?.hosts.unreachable ?? 0) - listed.length;
  if (listed.length > 0 && rest > 0) lines.push([[`… and ${rest} more unreachable`, "dim"]]);
  const eventRoom = room - lines.length - 1;
  const newest = eventRoom > 0 ? events.slice(-eventRoom) : [];
  if (newest.length > 0) lines.push([["Last events", "dim"]]);
  lines.push(...newest.map((event): Line => [[printable(event)]]));
  while (lines.length < room) lines.push(blank);
  return lines.slice(0, room);
}

const keys: readonly (readonly [key: string, what: string])[] = [
  ["k", "kill a node"],
  ["r", "start it"],
  ["s", "stop 20 hosts"],
  ["b", "bring back"],
  ["o", "roll out"],
  ["q", "quit"],
];

function keyLines({ note, nodes, program }: DemoFrame, columns: number): Line[] {
  const running = nodes.find(({ pid }) => pid !== undefined);
  const victim = nodes.findLast(({ pid }) => pid !== undefined);
  const lines: Line[] = [
    [[note, "cyan"]],
    keys.flatMap(([key, what]): Span[] => [[key, "bold"], [` ${what}  `]]),
  ];
  if (running !== undefined && victim !== undefined) {
    const command = `${program} status --api ${running.apiUrl}`;
    const kill = `kill -9 ${victim.pid}`;
    const joined = `or in a shell: ${kill}   ${command}`;
    lines.push(
      ...(joined.length <= columns ? [joined] : [`or in a shell: ${kill}`, `  ${command}`]).map(
        (text): Line => [[text, "dim"]],
      ),
    );
  }
  return lines;
}
