import type { FreezeWindow } from "../channel/model.ts";
import type { MaintenanceWindow } from "../cycle/model.ts";
import type { SecondRollout } from "../rollout/admit.ts";
import type { RolloutGate } from "../gates/model.ts";
import type { RolloutPolicy } from "../rollout/policy.ts";

/** What a fleet runs: the image that a channel points to, or always the same. */
export type FleetSource = { readonly layer: string; readonly channel: string } | { readonly pinned: string };

/** How it is told whether an instance can take traffic. `command` runs inside. */
export type FleetProbe =
  | { readonly kind: "http"; readonly path: string; readonly port: number }
  | { readonly kind: "tcp"; readonly port: number }
  | { readonly kind: "command"; readonly argv: readonly string[] };

export interface FleetHealth {
  readonly probe: FleetProbe;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** How many good answers in a row make an instance healthy, and how many bad ones unhealthy. */
  readonly healthyAfter: number;
  readonly unhealthyAfter: number;
}

/** What each machine is given beside the image: the only place where environments differ. */
export interface LaunchConfiguration {
  /** Path → content. */
  readonly files: Readonly<Record<string, string>>;
  /** systemd credentials (systemd.exec(5)). */
  readonly credentials: Readonly<Record<string, string>>;
  readonly environment: Readonly<Record<string, string>>;
}

/** A policy with gates that say whom they ask. */
export interface FleetPolicy extends RolloutPolicy {
  readonly gates: readonly RolloutGate[];
}

/** Instances that run the same image. Nothing of it changes that image. */
interface FleetOfAnyKind {
  readonly name: string;
  readonly description?: string;
  readonly size: number;
  /** Instances are spread over them evenly, the first zones taking what is left. */
  readonly zones: readonly string[];
  readonly runs: FleetSource;
  readonly health: FleetHealth;
  readonly launch: LaunchConfiguration;
  /** How it is brought to another image; absent: {@link DEFAULT_POLICY}. */
  readonly rollout?: FleetPolicy;
  /** Slots that a rollout always moves first, and those that it moves last: `web-1`. */
  readonly first: readonly string[];
  readonly neverFirst: readonly string[];
  /** When no rollout begins anything new; and when one may, always where there are none. */
  readonly freeze: readonly FreezeWindow[];
  readonly windows: readonly MaintenanceWindow[];
  /** What becomes of a release while another rollout is under way. */
  readonly newRelease: SecondRollout;
  /** Secrets of the recipe that each machine is given, as credentials of the same name. */
  readonly secrets: readonly string[];
}

/** Cells of this machine. */
export interface LocalFleet extends FleetOfAnyKind {
  readonly provider: "local";
  /** The balancer listens on `listen` and hands on to the port `backend` of each instance that is healthy. */
  readonly traffic?: { readonly listen: number; readonly backend: number };
}

/** Virtual machines of this one, each cloned from a snapshot of its image. */
export interface VmFleet extends FleetOfAnyKind {
  readonly provider: "vm";
  /** Of each machine. */
  readonly memoryMiB: number;
  readonly traffic?: LocalFleet["traffic"];
}

/** A machine that is there already, and where it is. */
export interface SshHost {
  /** Of slot and instance alike. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Root, or one who may do everything by `sudo -n`. */
  readonly user: string;
  readonly zone: string;
  /** As in known_hosts, without the host's name: `ssh-ed25519 AAAA…`. */
  readonly hostKey: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Own machines, reached by OpenSSH. `size` is how many, `zones` are theirs; nothing is launched. */
export interface SshFleet extends FleetOfAnyKind {
  readonly provider: "ssh";
  readonly hosts: readonly SshHost[];
  /** File of the private key; what is not absolute is meant from the recipe's folder. */
  readonly identity: string;
  /** Folder of each machine that releases are kept in. */
  readonly root: string;
  /** Run on a machine that is taken out of traffic, and let in. */
  readonly hooks?: { readonly drain: readonly string[]; readonly admit: readonly string[] };
  readonly traffic?: undefined;
}

export type Fleet = LocalFleet | VmFleet | SshFleet;
