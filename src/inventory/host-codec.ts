/**
 * Host records as items of the store.
 *
 * Labels and pins travel as JSON text with sorted keys. Decoding is strict: an item that this version
 * would not have written is STORE_CORRUPT, never a guess. Equal label sets become one object, which
 * saves memory (fleets have few distinct sets) and lets `compileFleet` recognise them by identity.
 */
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import { isDialled, type HostMode } from "../protocol/host-mode.ts";
import type { Attributes, Item } from "../store/store.ts";
import {
  parseAddress,
  parseHostId,
  parseLabels,
  parseModes,
  parsePins,
  type HostInput,
  type HostRecord,
} from "./host.ts";

export const hostPrefix = "host#";

/** Texts whose parsed value is kept; beyond it the table starts afresh. */
const internedMax = 20_000;

export function encodeHost(record: HostRecord): Attributes {
  return {
    revision: record.revision,
    address: record.address,
    mode: record.modes.join(","),
    labels: JSON.stringify(record.labels),
    pins: JSON.stringify(record.pins),
  };
}

/** True where storing `input` would change nothing of `record` but its revision. */
export function isSameHost(record: HostRecord, input: HostInput): boolean {
  return (
    record.address === input.address &&
    (input.modes === undefined || record.modes.join() === input.modes.join()) &&
    JSON.stringify(record.labels) === JSON.stringify(input.labels) &&
    (input.pins === undefined || JSON.stringify(record.pins) === JSON.stringify(input.pins))
  );
}

/** A decoder with its own table of shared label sets. It throws STORE_CORRUPT. */
export function createHostDecoder(): (item: Item) => HostRecord {
  const labels = interned(parseLabels);
  const pins = interned(parsePins);
  const modes = internedModes();
  return (item) => {
    const { revision, address, mode } = item.attributes;
    try {
      if (!item.sk.startsWith(hostPrefix)) throw new Error("its key is not that of a host");
      if (typeof revision !== "number" || !Number.isSafeInteger(revision) || revision < 1) {
        throw new Error("its revision is not a positive integer");
      }
      const known = modes(mode);
      return {
        id: parseHostId(item.sk.slice(hostPrefix.length)),
        revision,
        address: address === "" && !isDialled(known) ? "" : checkedAddress(address),
        modes: known,
        labels: labels(item.attributes["labels"]),
        pins: pins(item.attributes["pins"]),
      };
    } catch (error) {
      throw new CoxswainError(
        "STORE_CORRUPT",
        `Expected ${item.pk}/${item.sk} to be a host record: ${messageOf(error)}`,
        { details: { pk: item.pk, sk: item.sk }, cause: error },
      );
    }
  };
}

function checkedAddress(value: unknown): string {
  const address = parseAddress(value);
  if (address !== value) throw new Error(`its address is not in normal form (${address})`);
  return address;
}

/** Mode lists are few: each text becomes one shared list. */
function internedModes(): (text: unknown) => readonly HostMode[] {
  const known = new Map<string, readonly HostMode[]>();
  return (text) => {
    if (typeof text !== "string") throw new Error("its mode is not text");
    const modes = known.get(text) ?? parseModes(text.split(","));
    known.set(text, modes);
    return modes;
  };
}

/** Parses JSON text once for each distinct text. */
function interned<T>(parse: (value: unknown) => T): (text: unknown) => T {
  const known = new Map<string, T>();
  return (text) => {
    if (typeof text !== "string") throw new Error("its labels or pins are not text");
    const before = known.get(text);
    if (before !== undefined) return before;
    const parsed = parse(JSON.parse(text));
    if (known.size >= internedMax) known.clear();
    known.set(text, parsed);
    return parsed;
  };
}
