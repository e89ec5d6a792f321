import type { JsonValue } from "../core/json.ts";
import type { ImageRoot } from "./image-root.ts";
import type { Sandbox } from "./sandbox.ts";
import type { Inputs, LentTools, Secrets } from "./step-services.ts";

/** A playbook and what it is run with. Paths are relative to the recipe's folder and declared in the step's `requires`. */
export interface Playbook {
  readonly playbook: string;
  /** Everything that the playbook reads lies in here: roles, group_vars, files, collections. */
  readonly project: { readonly path: string; readonly excludes?: readonly string[] };
  /** `inventory_hostname` of the image. */
  readonly host: string;
  /** Inventory groups that the image is a member of, besides `all`. */
  readonly groups: readonly string[];
  /** An inventory (file or folder in the project) in which `host` stands; the image takes its place. */
  readonly inventory?: string;
  /** Extra variables; they win over all others. */
  readonly vars: Readonly<Record<string, JsonValue>>;
  /** Files of extra variables; later ones win over earlier ones, `vars` over all. */
  readonly varsFiles: readonly string[];
  /** Variable → name of a secret. */
  readonly secretVars: Readonly<Record<string, string>>;
  /** Vault id → name of the secret that is its password. */
  readonly vault: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  readonly skipTags: readonly string[];
  /** 0 to 4: as many `-v`. */
  readonly verbosity: number;
  /** Facts that replace the nominal machine's (without the `ansible_` prefix). */
  readonly facts: Readonly<Record<string, JsonValue>>;
}

/** What a step or a plan grants for the run. */
export interface PlaybookContext {
  readonly address: string;
  readonly root: ImageRoot;
  readonly sandbox: Sandbox;
  readonly inputs: Inputs;
  readonly lent: LentTools;
  readonly secrets: Secrets;
  /** What the facts about time say. */
  readonly epochSeconds: number;
  readonly signal: AbortSignal;
  log(line: string): void;
  progress(progress: { readonly message: string; readonly fraction?: number }): void;
}

export interface PlaybookChange {
  readonly task: string;
  /** `ansible/roles/web/tasks/main.yml:12` */
  readonly place: string;
  readonly item?: string;
  /** Unified diff where the module gives one. Only in check mode. */
  readonly diff?: string;
}

export interface PlaybookSummary {
  readonly ok: number;
  readonly changed: number;
  readonly skipped: number;
  /** Failures that the playbook ignores or rescues. */
  readonly forgiven: number;
  readonly changes: readonly PlaybookChange[];
  /**
   * Only in check mode: the task that failed. Says little about a bake, since a task that builds on what an earlier one
   * would have done (a package list, a file) finds nothing there.
   */
  readonly stoppedBy?: string;
}

/** Runs existing Ansible playbooks against the image that is being baked, which needs neither Python nor SSH for it. */
export interface AnsibleRunner {
  /** @throws BakehouseError STEP_FAILED with play, task, message and file:line; SETUP_INCOMPLETE without ansible-core; SECRET_MISSING */
  run(playbook: Playbook, context: PlaybookContext): Promise<PlaybookSummary>;
  /** Check mode, for `plan`: what would change. What it writes all the same goes to the context's root: give it one that is thrown away. */
  check(playbook: Playbook, context: PlaybookContext): Promise<PlaybookSummary>;
}
