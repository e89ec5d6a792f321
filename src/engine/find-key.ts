import { BakehouseError } from "../core/errors.ts";
import { didYouMean } from "../core/text/did-you-mean.ts";
import type { KeyInfo, Keys } from "../ports/keys.ts";

/**
 * Finds a key by its id, the beginning of it (4 digits or more), or its name; without a reference the one that signs.
 *
 * @throws KEY_INVALID
 */
export function findKey(keys: Keys, reference: string | undefined): KeyInfo {
  const all = keys.list();
  const matches =
    reference === undefined
      ? all.filter(({ signs }) => signs)
      : all.filter(({ id, name }) => name === reference || (/^[0-9a-f]{4,64}$/.test(reference) && id.startsWith(reference)));
  const [found] = matches;
  if (matches.length === 1 && found !== undefined) return found;
  if (reference === undefined)
    throw new BakehouseError("KEY_INVALID", "No key of this store signs", { hint: "bakehouse key make, or the first signature makes one" });
  if (matches.length > 1)
    throw new BakehouseError("KEY_INVALID", `${JSON.stringify(reference)} stands for ${matches.length} keys`, {
      hint: `use more digits: ${matches.map(({ id }) => id.slice(0, 12)).join(", ")}`,
    });
  const near = didYouMean(
    reference,
    all.map(({ name }) => name),
  );
  throw new BakehouseError("KEY_INVALID", `No key is called ${JSON.stringify(reference)} or has an id that begins so`, {
    hint: near === undefined ? "bakehouse key list" : `did you mean ${near}? \`bakehouse key list\` shows all`,
  });
}
