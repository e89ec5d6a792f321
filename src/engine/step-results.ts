import type { Sha256 } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import type { EventBody, MissReason } from "../core/events.ts";
import { onceKept } from "../core/look-at-failure.ts";
import type { CatalogStep } from "../ports/catalog.ts";
import type { StepRecord } from "../ports/store.ts";
import type { EngineParts } from "./parts.ts";
import { isUsable } from "./plan-bake.ts";

export interface StepResult {
  readonly record: StepRecord;
  /** Whether it was there already. */
  readonly hit: boolean;
}

interface Wanted {
  readonly address: string;
  readonly key: Sha256;
  /** Bake it although it is there. */
  readonly force: boolean;
  /** Why it is baked, if it is. */
  readonly reason: MissReason;
}

export interface StepResultsParts {
  readonly bake: string;
  readonly signal: AbortSignal;
  tell(body: EventBody): void;
  /** A folder of its own for the work of a step. */
  folderFor(address: string): string;
  /** Whether what a failed step left is kept for a look. */
  isKept(address: string): boolean;
}

/** Results of steps by their keys: from the cache, from a process that bakes one at this moment, or baked here and now. */
export class StepResults {
  /** What became of each step, for the catalog. */
  readonly ended: CatalogStep[] = [];
  private readonly engine: EngineParts;
  private readonly parts: StepResultsParts;

  constructor(engine: EngineParts, parts: StepResultsParts) {
    this.engine = engine;
    this.parts = parts;
  }

  async findOr(wanted: Wanted, work: (folder: string) => Promise<StepRecord>): Promise<StepResult> {
    const { key, address, force } = wanted;
    const { signal, tell } = this.parts;
    const before = force ? undefined : this.find(key);
    if (before !== undefined) return this.hit(address, before);
    const onWait = (owner: { readonly pid: number; readonly host: string }): void =>
      tell({ type: "step-waiting", step: address, owner: `process ${owner.pid} on ${owner.host}` });
    return this.engine.store.withLock(`step-${key}`, { signal, onWait }, async () => {
      const shared = force ? undefined : this.find(key);
      return shared === undefined ? this.bake(wanted, work) : this.hit(address, shared);
    });
  }

  private find(key: Sha256): StepRecord | undefined {
    const { store } = this.engine;
    const record = store.steps.find(key);
    return record !== undefined && isUsable(store, record) ? record : undefined;
  }

  private hit(address: string, record: StepRecord): StepResult {
    const { diffId, sizeBytes } = record;
    this.parts.tell({ type: "step-cached", step: address, diffId, sizeBytes });
    this.end({ address, outcome: "hit", diffId, sizeBytes, durationMs: 0, reason: "cached" });
    return { record, hit: true };
  }

  private async bake({ address, reason }: Wanted, work: (folder: string) => Promise<StepRecord>): Promise<StepResult> {
    const { clock } = this.engine;
    const { tell } = this.parts;
    const startedMs = clock.elapsedMs();
    tell({ type: "step-started", step: address, reason });
    const folder = this.parts.folderFor(address);
    try {
      const record = await work(folder);
      const { diffId, sizeBytes } = record;
      const durationMs = clock.elapsedMs() - startedMs;
      tell({ type: "step-baked", step: address, diffId, sizeBytes, durationMs });
      this.end({ address, outcome: "baked", diffId, sizeBytes, durationMs, reason: reason.kind });
      return { record, hit: false };
    } catch (error) {
      const durationMs = clock.elapsedMs() - startedMs;
      const failure = this.parts.isKept(address) ? onceKept(this.failure(address, error)) : this.failure(address, error);
      tell({ type: "step-failed", step: address, code: failure.code, message: failure.message, durationMs });
      this.end({ address, outcome: "failed", durationMs, reason: failure.message });
      throw failure;
    }
  }

  private end(step: Omit<CatalogStep, "bake">): void {
    this.ended.push({ bake: this.parts.bake, ...step });
  }

  /** A step that throws something without a code has failed, whatever it was; on a full disk that is what explains it. */
  private failure(address: string, error: unknown): BakehouseError {
    const { store } = this.engine;
    const full =
      (error as NodeJS.ErrnoException).code === "ENOSPC" ||
      (error instanceof BakehouseError && error.code === "STEP_FAILED" && store.isFull());
    const message = error instanceof Error ? error.message : String(error);
    if (full)
      return new BakehouseError(
        "STORE_FULL",
        `${address}: no space left on the disk that holds the store ${store.root}\n${message}`,
        { hint: "bakehouse gc --apply, or a store on a larger disk: --store DIR" },
        error,
      );
    return error instanceof BakehouseError ? error : new BakehouseError("STEP_FAILED", `${address}: ${message}`, {}, error);
  }
}
