/**
 * The answers of the API as the commands read them.
 *
 * Each schema names only the fields that a command uses; anything else in an answer is let through
 * unread, so that a newer node can add fields. Words such as states are plain text here for the same
 * reason: an unknown one is shown, not refused.
 */
import { z } from "zod";

const digestOrNull = z.string().nullable();

const countsSchema = z.object({
  total: z.int(),
  applied: z.int(),
  pending: z.int(),
  rejected: z.int(),
  unreachable: z.int(),
  neverSeen: z.int(),
  damaged: z.int().optional(),
});

const hostError = z.object({ class: z.string(), message: z.string(), at: z.string() });

/** A host in a list; `configs` and `state` come only with a single host. */
export const hostViewSchema = z.object({
  id: z.string(),
  address: z.string(),
  modes: z.array(z.string()).optional(),
  labels: z.record(z.string(), z.string()),
  pins: z.record(z.string(), z.string()).optional(),
  partition: z.int(),
  owner: z.string().nullable(),
  fence: z.string().nullable().optional(),
  desired: z
    .object({
      manifest: z.string(),
      configs: z.array(z.object({ name: z.string(), digest: z.string() })).optional(),
    })
    .nullable()
    .optional(),
  held: z
    .object({
      manifest: z.string(),
      configs: z
        .array(
          z.object({
            name: z.string(),
            digest: digestOrNull.optional(),
            result: z.string(),
            message: z.string().nullable().optional(),
          }),
        )
        .optional(),
    })
    .nullable()
    .optional(),
  sync: z.string(),
  reachability: z.string(),
  lastContact: z.string().nullable(),
  via: z.string().nullable().optional(),
  lastError: hostError.nullable(),
  nextAttempt: z.string().nullable(),
  state: z.record(z.string(), z.unknown()).nullable().optional(),
});
export type HostView = z.infer<typeof hostViewSchema>;

export const hostPageSchema = z.object({
  hosts: z.array(hostViewSchema),
  next: z.string().nullable(),
  missing: z.array(z.string()),
});
export type HostPage = z.infer<typeof hostPageSchema>;

export const hostRecordSchema = z.object({
  id: z.string(),
  address: z.string(),
  modes: z.array(z.string()).optional(),
  labels: z.record(z.string(), z.string()),
  pins: z.record(z.string(), z.string()),
  partition: z.int().optional(),
  revision: z.int(),
  outcome: z.string().optional(),
});

export const importReportSchema = z.object({
  created: z.int(),
  updated: z.int(),
  unchanged: z.int(),
  failed: z.int(),
  errors: z.array(
    z.object({
      line: z.int(),
      id: z.string().optional(),
      code: z.string(),
      message: z.string(),
    }),
  ),
});

export const configListSchema = z.object({
  configs: z.array(
    z.object({
      name: z.string(),
      releases: z.int(),
      latest: z.object({ digest: z.string(), size: z.int(), at: z.string() }).nullable(),
    }),
  ),
});

const release = z.object({
  name: z.string(),
  digest: z.string(),
  size: z.int(),
  author: z.string(),
  at: z.string(),
});
export const releaseListSchema = z.object({ releases: z.array(release) });

export const putReleaseSchema = z.object({
  name: z.string(),
  digest: z.string(),
  size: z.int(),
  isNew: z.boolean(),
});

export const rolloutSchema = z.object({
  id: z.string(),
  config: z.string(),
  digest: digestOrNull,
  selector: z.string(),
  state: z.string(),
  author: z.string(),
  at: z.string(),
  undoes: z.string().nullable().optional(),
  counts: countsSchema.optional(),
  problems: z
    .array(
      z.object({
        class: z.string(),
        message: z.string(),
        count: z.int(),
        hosts: z.array(z.string()),
      }),
    )
    .optional(),
  missing: z.array(z.string()).optional(),
});
export type RolloutView = z.infer<typeof rolloutSchema>;
export const rolloutListSchema = z.object({ rollouts: z.array(rolloutSchema) });

const viewNumber = z.object({ generation: z.int(), version: z.int() });

export const statusSchema = z.object({
  cluster: z.object({ id: z.string(), partitions: z.int() }),
  node: z.object({ slot: z.string() }),
  view: viewNumber.extend({
    members: z.array(
      z.object({
        slot: z.string(),
        incarnation: z.int(),
        state: z.string(),
        url: z.string(),
        partitions: z.int(),
        hosts: z.int().nullable(),
      }),
    ),
  }),
  hosts: countsSchema,
  missing: z.array(z.string()),
});
export type StatusView = z.infer<typeof statusSchema>;

export const membersSchema = z.object({
  view: viewNumber,
  members: z.array(
    z.object({
      slot: z.string(),
      incarnation: z.int(),
      state: z.string(),
      url: z.string(),
      fleetUrl: z.string(),
      weight: z.number(),
      zone: z.string(),
      beat: z.int().nullable(),
      viewSeen: viewNumber.nullable(),
      placementHash: z.string().nullable(),
      partitions: z.int(),
      hosts: z.int().nullable(),
    }),
  ),
});
export const evictionSchema = z.object({ slot: z.string(), view: viewNumber });

export type MembersView = z.infer<typeof membersSchema>;

export const hostPlacementSchema = z.object({
  host: z.string(),
  partition: z.int(),
  owner: z.string().nullable(),
  view: viewNumber,
  placementHash: z.string(),
});

export const placementSchema = z.object({
  partitions: z.int(),
  view: viewNumber,
  placementHash: z.string(),
  slots: z.array(z.object({ slot: z.string(), partitions: z.int() })),
});

export const selfCheckSchema = z.object({
  slot: z.string(),
  version: z.string(),
  at: z.string(),
  openFilesMax: z.number().nullable(),
  socketsMax: z.number(),
  /** A node of an earlier version does not say. */
  linksMax: z.number().default(0),
  apiHost: z.string(),
  fleetHost: z.string(),
  peers: z.array(z.object({ slot: z.string(), fleetUrl: z.string(), outcome: z.string() })),
});
export type SelfCheckAnswer = z.infer<typeof selfCheckSchema>;

export const errorBodySchema = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    details: z.record(z.string(), z.unknown()).optional(),
  }),
});
