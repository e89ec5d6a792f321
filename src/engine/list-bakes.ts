import type { BakeLogs } from "../ports/bake-logs.ts";
import type { Catalog, CatalogBake, CatalogStep } from "../ports/catalog.ts";
import { findBake } from "./read-logs.ts";

export interface BakeSummary extends CatalogBake {
  readonly durationMs?: number;
  readonly hits: number;
  readonly baked: number;
  readonly failed: number;
}

export interface BakeDetails extends BakeSummary {
  readonly steps: readonly CatalogStep[];
  /** Whether `bakehouse logs` has something to show. */
  readonly hasLog: boolean;
}

/** The last bakes, newest first. */
export async function listBakes(
  catalog: Pick<Catalog, "bakes" | "bake">,
  options: { readonly limit: number },
): Promise<readonly BakeSummary[]> {
  const bakes = await catalog.bakes({ limit: options.limit });
  const summaries: BakeSummary[] = [];
  for (const bake of bakes) summaries.push(summaryOf(bake, (await catalog.bake(bake.id))?.steps ?? []));
  return summaries;
}

/** One bake with its steps. @param wanted  id, its beginning, or `last` @throws BAKE_NOT_FOUND, REFERENCE_AMBIGUOUS */
export async function showBake(
  parts: { readonly catalog: Pick<Catalog, "bakes" | "bake">; readonly logs: BakeLogs },
  wanted: string,
): Promise<BakeDetails> {
  const ids = (await parts.catalog.bakes({ limit: 10_000 })).map(({ id }) => id);
  const id = findBake(ids, wanted);
  const bake = await parts.catalog.bake(id);
  if (bake === undefined) return showBake(parts, id); // removed in between: says that it is not there
  const { steps, ...rest } = bake;
  return { ...summaryOf(rest, steps), steps, hasLog: parts.logs.list().includes(id) };
}

function summaryOf(bake: CatalogBake, steps: readonly CatalogStep[]): BakeSummary {
  const countOf = (outcome: CatalogStep["outcome"]): number => steps.filter((step) => step.outcome === outcome).length;
  return {
    ...bake,
    ...(bake.endedAt === undefined ? {} : { durationMs: Math.max(0, Date.parse(bake.endedAt) - Date.parse(bake.startedAt)) }),
    hits: countOf("hit"),
    baked: countOf("baked"),
    failed: countOf("failed"),
  };
}
