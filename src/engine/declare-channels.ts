import type { ChannelPolicy } from "../core/audit/record.ts";
import { canonicalJson } from "../core/json.ts";
import type { Recipe } from "../core/recipe/model.ts";
import type { Catalog } from "../ports/catalog.ts";
import type { Clock } from "../ports/host.ts";
import { record } from "./record.ts";

export interface DeclareChannelsParts {
  readonly clock: Clock;
  baker(): Promise<string>;
  catalog(): Promise<Pick<Catalog, "ledger">>;
}

/**
 * Puts what a recipe says about its channels into the ledger, when it is not what stands there: gates that were loosened are seen
 * in the audit log, and images can be promoted from anywhere.
 *
 * @returns whether anything was recorded
 */
export async function declareChannels(parts: DeclareChannelsParts, recipe: Recipe): Promise<boolean> {
  const { ledger } = await parts.catalog();
  const policy = policyOf(recipe);
  const done = await record(parts, ledger, async () => {
    const known = await ledger.policy(recipe.name);
    if (known === undefined ? policy.channels.length === 0 : canonicalJson(known.policy) === canonicalJson(policy))
      return { result: false };
    return { body: { action: "channels-declared", subject: recipe.name, details: policy }, result: true };
  });
  return done.result;
}

const policyOf = (recipe: Recipe): ChannelPolicy => ({ recipe: recipe.name, channels: recipe.channels });
