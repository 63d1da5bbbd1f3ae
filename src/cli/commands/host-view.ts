/**
 * `hosts show`: everything known of one host, on one page.
 */
import type { HostView } from "../api-shapes.ts";
import {
  formatAge,
  formatFields,
  formatLabels,
  formatTable,
  printable,
  printableLines,
  shortDigest,
} from "../format.ts";

export function formatHost(host: HostView, wallMs: number): string {
  return [identity(host, wallMs), configTable(host), messages(host), stateLines(host)]
    .filter((section) => section !== "")
    .join("\n\n");
}

function identity(host: HostView, wallMs: number): string {
  const pins = Object.entries(host.pins ?? {}).map(
    ([name, digest]) => `${name}@${shortDigest(digest)}`,
  );
  const fields: [string, string][] = [
    ["host", printable(host.id)],
    ["address", printable(host.address === "" ? "-" : host.address)],
    ["modes", printable((host.modes ?? ["dial"]).join(", "))],
    ["labels", formatLabels(host.labels)],
    ["pins", pins.length === 0 ? "-" : printable(pins.join(", "))],
    ["owner", `${printable(host.owner ?? "nobody")} (partition ${host.partition})`],
    ["fence", printable(host.fence ?? "-")],
    ["sync", printable(host.sync)],
    ["reachability", printable(host.reachability)],
    [
      "last contact",
      host.lastContact === null
        ? "never"
        : `${formatAge(host.lastContact, wallMs)} ago${viaText(host.via)}`,
    ],
  ];
  if (host.lastError !== null) {
    const { class: kind, message, at } = host.lastError;
    fields.push(["last error", printable(`${kind}: ${message} (${formatAge(at, wallMs)} ago)`)]);
  }
  if (host.nextAttempt !== null) fields.push(["next try", printable(host.nextAttempt)]);
  return formatFields(fields);
}

const viaText = (via: string | null | undefined) => (via ? ` by ${printable(via)}` : "");

/** One row a config that it should hold or holds. */
function configTable(host: HostView): string {
  const desired = new Map(host.desired?.configs?.map(({ name, digest }) => [name, digest]));
  const held = new Map(host.held?.configs?.map((config) => [config.name, config]));
  const names = [...new Set([...desired.keys(), ...held.keys()])].toSorted();
  if (names.length === 0) return "It should hold no config and holds none.";
  return formatTable(
    ["config", "should hold", "holds", "result"],
    names.map((name) => [
      printable(name),
      shortDigest(desired.get(name)),
      shortDigest(held.get(name)?.digest),
      printable(held.get(name)?.result ?? "-"),
    ]),
  );
}

/** What the host said about configs that it did not take, in its own words. */
function messages(host: HostView): string {
  return (host.held?.configs ?? [])
    .flatMap(({ name, message }) =>
      message === undefined || message === null || message === ""
        ? []
        : [`${printable(name)}:\n${printableLines(message, "  ")}`],
    )
    .join("\n");
}

function stateLines(host: HostView): string {
  if (host.state === null || host.state === undefined) return "";
  return `State:\n${printableLines(JSON.stringify(host.state, null, 2), "  ")}`;
}
