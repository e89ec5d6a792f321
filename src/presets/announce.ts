import { existsSync } from "node:fs";
import { BakehouseError } from "../core/errors.ts";
import { noticeOf, type Happening } from "../core/notices/notice.ts";
import { auditSequenceOf, newsOf } from "../core/notices/of-audit.ts";
import { wants } from "../core/notices/target.ts";
import type { Recipe } from "../core/recipe/model.ts";
import type { NoticeToSend } from "../ports/notice-log.ts";
import type { Bakehouse } from "./create-bakehouse.ts";

/** The notice of a happening, for everybody whom the recipe names. */
export function noticeFor(
  { parts }: Bakehouse,
  recipe: Pick<Recipe, "file" | "notify"> | undefined,
  happening: Happening,
  about: { readonly id: string; readonly time: Date } = { id: parts.newBakeId(), time: parts.clock.now() },
): NoticeToSend {
  const notice = noticeOf(happening, { ...about, source: `/bakehouse/${parts.baker.replace(/^.*@/, "")}` });
  const targets = (recipe?.notify ?? []).filter((target) => wants(target, notice.type)).map(({ name }) => name);
  return { notice, file: recipe?.file ?? "", targets };
}

/** Finds the recipe that images of a name were baked from last, as it is now; undefined when it is gone or broken. */
export async function recipeCalled(bakehouse: Bakehouse, name: string): Promise<Recipe | undefined> {
  const bakes = await bakehouse.parts.catalog().bakes({ limit: 10_000 });
  const file = bakes.find(({ recipe, file: each }) => recipe === name && existsSync(each))?.file;
  if (file === undefined) return undefined;
  try {
    return bakehouse.load(file).recipe;
  } catch (error) {
    if (!(error instanceof BakehouseError)) throw error;
    return undefined;
  }
}

/**
 * Makes notices of what the audit log holds and nobody was told of yet: promotions, rollbacks, revocations. The log is what is true;
 * a process that died after it was written leaves the telling to the next.
 */
export async function announceAudit(bakehouse: Bakehouse): Promise<void> {
  const { ledger, notices } = bakehouse.parts.catalog();
  const { sequence } = await ledger.head();
  const told = auditSequenceOf((await notices.lastId("audit-")) ?? "");
  if (sequence <= told) return;
  const news = (await ledger.records()).filter((record) => record.sequence > told).flatMap((record) => newsOf(record) ?? []);
  const recipes = new Map<string, Recipe | undefined>();
  const fresh: NoticeToSend[] = [];
  for (const { id, at, recipe, happening } of news) {
    if (!recipes.has(recipe)) recipes.set(recipe, await recipeCalled(bakehouse, recipe));
    fresh.push(noticeFor(bakehouse, recipes.get(recipe), happening, { id, time: new Date(at) }));
  }
  await notices.add(fresh);
}
