import type { ImageDigest, Sha256 } from "../core/digest.ts";
import type { Ledger } from "./ledger.ts";
import type { CycleRecords } from "./cycle-records.ts";
import type { NoticeLog } from "./notice-log.ts";

/** `launch`: what a machine needs at its start in place of a layer that is not baked. */
export type ImageKind = "image" | "volume" | "launch";

/** One image, volume or launch with its lineage. */
export interface CatalogImage {
  readonly digest: ImageDigest;
  readonly kind: ImageKind;
  /** `<recipe>/<layer>`. */
  readonly name: string;
  readonly recipe: string;
  readonly layer: string;
  /** The image it was baked onto; for a volume or launch, the root image that it belongs to. */
  readonly parent?: ImageDigest;
  readonly hermetic: boolean;
  /** Bytes of all layer tars, or of the volume. */
  readonly sizeBytes: number;
  readonly bakedAt: string;
  readonly bakedBy: string;
  readonly bake: string;
  readonly tool: string;
  readonly recipeDigest?: Sha256;
  readonly lockDigest?: Sha256;
  readonly parameters: Readonly<Record<string, string | number | boolean>>;
}

export interface CatalogBake {
  readonly id: string;
  readonly recipe: string;
  /** Absolute path of the recipe file. */
  readonly file: string;
  readonly startedAt: string;
  readonly endedAt?: string;
  /** `running` until it ends; one whose process died stays `running` until the next run marks it `died`. */
  readonly outcome: "running" | "completed" | "failed" | "cancelled" | "died";
  readonly by: string;
  readonly message?: string;
}

export interface CatalogStep {
  readonly bake: string;
  readonly address: string;
  readonly outcome: "hit" | "baked" | "failed";
  readonly diffId?: Sha256;
  readonly sizeBytes?: number;
  readonly durationMs: number;
  readonly reason: string;
}

/** Images, lineage and bakes, for queries. What is true of an image stands in the store itself; the catalog can be rebuilt from it. */
export interface Catalog {
  startBake(bake: CatalogBake): Promise<void>;
  endBake(id: string, end: Pick<CatalogBake, "outcome" | "endedAt" | "message">, steps: readonly CatalogStep[]): Promise<void>;
  bakes(options?: { readonly limit?: number }): Promise<readonly CatalogBake[]>;
  bake(id: string): Promise<(CatalogBake & { readonly steps: readonly CatalogStep[] }) | undefined>;
  putImages(images: readonly CatalogImage[]): Promise<void>;
  removeImages(digests: readonly ImageDigest[]): Promise<void>;
  /** Newest first. */
  images(): Promise<readonly CatalogImage[]>;
  /** Channels, approvals, revocations, and the audit log. */
  readonly ledger: Ledger;
  readonly cycles: CycleRecords;
  readonly notices: NoticeLog;
  close(): Promise<void>;
}
