/**
 * Hosts: the records of the inventory.
 *
 * A record says where a host is and how it is labelled, never what state it is in: that is the
 * owner's knowledge. Its revision comes from the partition's counter, so it never restarts, not even
 * when a host is removed and registered again.
 */

declare const brand: unique symbol;
/** A host id that has passed `parseHostId`. */
export type HostId = string & { readonly [brand]: "HostId" };

/** How a node reaches the host. Other shapes join this list in their own time. */
export type HostMode = "dial";

export type Labels = Readonly<Record<string, string>>;

export interface HostRecord {
  readonly id: HostId;
  /** Raised with every change of the record; the last part of the fence. */
  readonly revision: number;
  /** Origin of the agent: `http://127.0.0.5:9000`, no path. */
  readonly address: string;
  readonly mode: HostMode;
  readonly labels: Labels;
  /** Exceptions from the rules: config name -> digest. */
  readonly pins: Readonly<Record<string, string>>;
}

/** What a person may set; the rest of the record follows. */
export type HostInput = Pick<HostRecord, "id" | "address" | "labels" | "pins">;
