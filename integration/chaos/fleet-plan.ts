/** What a host container is told: the agents it runs, and where. */
export interface FleetPlan {
  readonly cluster: string;
  /** Fixed address of the container in the network of the hosts. */
  readonly address: string;
  /** Port of the first host; the others follow. */
  readonly firstPort: number;
  readonly hosts: readonly string[];
  /** Base URLs for hellos. */
  readonly nodes: readonly string[];
  readonly dataFolder: string;
  readonly logFolder: string;
}
