import type { JsonValue } from "./json.ts";

/**
 * Every failure that a user can reach. `exit` is the CLI's exit code: 1 the work failed, 2 the input is wrong,
 * 3 something is missing on this machine, 4 a rule refuses it, 5 somebody else is at work on it, 130 cancelled.
 */
export const ERROR_CODES = {
  USAGE: { http: 400, exit: 2, means: "The command line is not understood" },
  RECIPE_NOT_FOUND: { http: 404, exit: 2, means: "There is no recipe at this path" },
  RECIPE_INVALID: { http: 422, exit: 2, means: "The recipe does not match its schema" },
  INPUT_INVALID: { http: 422, exit: 2, means: "A file that a step reads is missing, or lies outside the recipe's folder" },
  LOCK_MISSING: { http: 409, exit: 2, means: "The recipe needs a lock file and has none" },
  LOCK_STALE: { http: 409, exit: 2, means: "The recipe asks for something that the lock does not hold" },
  LOCK_INVALID: { http: 422, exit: 2, means: "The lock file was edited by hand or is damaged" },
  PACKAGE_NOT_FOUND: { http: 422, exit: 2, means: "No repository of the recipe has this package or version" },
  PACKAGES_UNSATISFIABLE: { http: 422, exit: 2, means: "The packages asked for cannot be installed together" },
  SIGNATURE_INVALID: { http: 502, exit: 4, means: "A repository's signature does not verify" },
  RELEASE_EXPIRED: { http: 502, exit: 4, means: "A repository's release file is past its Valid-Until date" },
  MIRROR_WENT_BACK: { http: 502, exit: 4, means: "A mirror offers what is older than the lock" },
  MIRROR_UNAVAILABLE: { http: 502, exit: 1, means: "A mirror does not answer or breaks off" },
  DIGEST_MISMATCH: { http: 502, exit: 4, means: "Bytes do not have the digest that names them" },
  STEP_FAILED: { http: 500, exit: 1, means: "A step ended with an error" },
  STEP_TIMEOUT: { http: 500, exit: 1, means: "A step took longer than its timeout" },
  NETWORK_REFUSED: { http: 403, exit: 4, means: "A step tried to reach something that its network policy does not allow" },
  SECRET_MISSING: { http: 422, exit: 2, means: "A secret that a step names is not given" },
  SECRET_LEAKED: { http: 500, exit: 4, means: "A step left a secret in the image" },
  ARCHIVE_UNSAFE: { http: 422, exit: 4, means: "An archive holds entries that would leave its folder" },
  ARCHIVE_INVALID: { http: 422, exit: 2, means: "An archive is damaged, cut off, or of a kind that cannot be read" },
  IMAGE_NOT_FOUND: { http: 404, exit: 2, means: "No image matches this reference" },
  REFERENCE_AMBIGUOUS: { http: 409, exit: 2, means: "More than one image matches this reference" },
  BAKE_NOT_FOUND: { http: 404, exit: 2, means: "No bake has this id" },
  STORE_DAMAGED: { http: 500, exit: 1, means: "Something in the store is not what its name says" },
  STORE_READ_ONLY: { http: 500, exit: 3, means: "The store cannot be written to" },
  STORE_TOO_NEW: { http: 500, exit: 3, means: "The store was made by a newer Bakehouse" },
  STORE_FULL: { http: 507, exit: 1, means: "The disk that holds the store is full" },
  RESOURCE_BUSY: { http: 409, exit: 5, means: "Another process holds this" },
  SETUP_INCOMPLETE: { http: 503, exit: 3, means: "This machine lacks something that Bakehouse needs" },
  CHECK_NOT_PASSED: { http: 409, exit: 6, means: "A check of the image did not pass" },
  CELL_NOT_FOUND: { http: 404, exit: 2, means: "No cell has this name or id" },
  CELL_FAILED: { http: 500, exit: 1, means: "A cell could not be started or ended too early" },
  VM_FAILED: { http: 500, exit: 1, means: "A virtual machine could not be started" },
  KEY_INVALID: { http: 422, exit: 2, means: "A key cannot be read, or is not of the kind that signs" },
  PAPERS_INVALID: { http: 409, exit: 4, means: "A signature, digest or chain of an image's papers does not verify" },
  CHANNEL_NOT_FOUND: { http: 404, exit: 2, means: "No channel has this name" },
  CHANNEL_MOVED: { http: 409, exit: 5, means: "Somebody else moved the channel meanwhile" },
  PROMOTION_BLOCKED: { http: 409, exit: 4, means: "A gate of the channel is not met for this image" },
  IMAGE_REVOKED: { http: 409, exit: 4, means: "The image, or one that it stands on, is revoked" },
  AUDIT_BROKEN: { http: 500, exit: 4, means: "The audit log is not the one that was written" },
  CYCLE_NOT_FOUND: { http: 404, exit: 2, means: "The recipe declares no cycle, or no run has this id" },
  DISK_INVALID: { http: 422, exit: 2, means: "A disk image cannot be read, or holds no root file system" },
  SCENARIO_INVALID: { http: 422, exit: 2, means: "A scenario does not match its schema" },
  FLEET_NOT_FOUND: { http: 404, exit: 2, means: "No fleet has this name" },
  INSTANCE_NOT_FOUND: { http: 404, exit: 2, means: "The fleet has no such instance" },
  INSTANCE_UNREACHABLE: { http: 503, exit: 1, means: "A machine that is there already does not answer" },
  INSTANCE_FAILED: { http: 500, exit: 1, means: "An instance could not be made or brought to a release" },
  ROLLOUT_NOT_FOUND: { http: 404, exit: 2, means: "No rollout has this id" },
  ROLLOUT_REFUSED: { http: 409, exit: 4, means: "A rollout may not start, or does not take this command" },
  LEASE_LOST: { http: 409, exit: 5, means: "Another process took the rollout over" },
  OUTPUT_LOST: { http: 500, exit: 1, means: "The result cannot be written to where the command's output goes" },
  CANCELLED: { http: 499, exit: 130, means: "It was stopped before it was done" },
} as const satisfies Record<string, { http: number; exit: number; means: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** `hint`: the next command or what to change. `details`: for programs; nobody parses the message. */
export interface Help {
  readonly hint?: string;
  readonly details?: JsonValue;
}

export class BakehouseError extends Error {
  override readonly name = "BakehouseError";
  readonly code: ErrorCode;
  readonly help: Help;
  constructor(code: ErrorCode, message: string, help: Help = {}, cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.help = help;
  }
}

/** One mistake in a file that people write, with its place. `line` and `column` start at 1. */
export interface Problem {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  readonly message: string;
  readonly hint?: string;
}

export const formatProblem = (problem: Problem): string => {
  const place = problem.line === undefined ? problem.file : `${problem.file}:${problem.line}:${problem.column ?? 1}`;
  return `${place}: ${problem.message}${problem.hint === undefined ? "" : ` (${problem.hint})`}`;
};

/** Refuses with all mistakes at once. */
export const problemsError = (code: ErrorCode, problems: readonly Problem[], hint?: string): BakehouseError =>
  new BakehouseError(code, problems.map(formatProblem).join("\n"), {
    ...(hint === undefined ? {} : { hint }),
    details: problems.map((problem) => ({ ...problem })),
  });

/** What `problemsError` was made of. */
export const problemsOf = ({ help: { details } }: BakehouseError): readonly Problem[] =>
  Array.isArray(details) ? (details as readonly JsonValue[] as readonly unknown[] as readonly Problem[]) : [];
