/**
 * The cluster's events as sentences for the demo, newest last, repeats joined.
 *
 * Every node tells what it sees, so a view change arrives once from each: it is shown once. Hosts that
 * go the same way within some seconds share one line, although their owners tell of them in turns.
 */
import { eventFields, timeOf } from "../event-line.ts";
import type { StreamEvent } from "../event-stream.ts";

const linesMax = 64;
const seenMax = 2_048;
/** Hosts that go the same way within this time share a line. */
const sharedLineMs = 5_000;

interface Entry {
  readonly key: string;
  readonly time: string;
  readonly atMs: number;
  readonly text: string;
  readonly hosts: Set<string>;
}

export class DemoEvents {
  #entries: Entry[] = [];
  readonly #seen = new Set<string>();

  add(event: StreamEvent): void {
    const fields = eventFields(event);
    const identity = identityOf(event, fields);
    if (this.#seen.has(identity)) return;
    this.#seen.add(identity);
    const [oldest] = this.#seen;
    if (this.#seen.size > seenMax && oldest !== undefined) this.#seen.delete(oldest);
    this.#append(entryOf(fields));
  }

  lines(): string[] {
    return this.#entries.map(({ time, text, hosts }) => `${time}  ${hostsText(hosts)}${text}`);
  }

  #append(entry: Entry): void {
    const alike = this.#entries.findLast(({ key }) => key === entry.key);
    if (alike !== undefined && entry.hosts.size > 0 && entry.atMs - alike.atMs < sharedLineMs) {
      for (const host of entry.hosts) alike.hosts.add(host);
      return;
    }
    this.#entries = [...this.#entries, entry].slice(-linesMax);
  }
}

/** Equal for what several nodes tell of one change. */
function identityOf(event: StreamEvent, fields: Readonly<Record<string, unknown>>): string {
  return event.type === "view.changed" ? `view ${viewNumber(fields)}` : event.data;
}

function entryOf(fields: Readonly<Record<string, unknown>>): Entry {
  const text = sentenceOf(fields);
  const { host } = fields;
  return {
    key: `${String(fields["type"])} ${text}`,
    time: timeOf(fields["at"]),
    atMs: Date.parse(String(fields["at"])),
    text,
    hosts: new Set(typeof host === "string" ? [host] : []),
  };
}

function sentenceOf({
  type,
  at: _at,
  node,
  host: _host,
  ...fields
}: Readonly<Record<string, unknown>>): string {
  switch (type) {
    case "view.changed":
      return `view ${viewNumber(fields)}: ${membersText(fields["members"])}`;
    case "host.reachability":
      return `${String(fields["from"])} -> ${String(fields["to"])}`;
    case "rollout.started":
      return `rollout ${String(fields["id"])} of ${String(fields["config"])} started`;
    case "config.released":
      return `${String(fields["config"] ?? fields["name"])} has a new release`;
    case "node.stopping":
      return `${String(node)} is stopping`;
    default: {
      const pairs = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`);
      return [String(type), ...pairs].join(" ");
    }
  }
}

function viewNumber(fields: Readonly<Record<string, unknown>>): string {
  return `${String(fields["generation"])}.${String(fields["version"])}`;
}

/** `node-1, node-2 (leaving)`. */
function membersText(members: unknown): string {
  const known = Array.isArray(members) ? (members as { slot: unknown; state: unknown }[]) : [];
  const names = known.map(({ slot, state }) =>
    state === "active" ? String(slot) : `${String(slot)} (${String(state)})`,
  );
  return names.length === 0 ? "nobody" : names.join(", ");
}

function hostsText(hosts: ReadonlySet<string>): string {
  if (hosts.size === 0) return "";
  const named = [...hosts].slice(0, 2).join(", ");
  return hosts.size > 2 ? `${named} and ${hosts.size - 2} more: ` : `${named}: `;
}
