import { DatabaseSync } from "node:sqlite";
import { statSync } from "node:fs";
import type { ImageDigest } from "../../core/digest.ts";
import { CATALOG_VERSION } from "./schema.ts";

/**
 * What the catalog has of each image that index.json has not, for listings. One statement, without kysely: loading that takes
 * 14 ms of CPU, as much as all that a listing of 1,000 images adds to starting the CLI.
 *
 * @returns undefined when there is no catalog, or one that cannot be read as it is: whoever opens it properly mends it or says why
 */
export function readImageSizes(file: string): ReadonlyMap<ImageDigest, { readonly name: string; readonly sizeBytes: number }> | undefined {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0) return undefined;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { readOnly: true });
    const { user_version: version } = database.prepare("PRAGMA user_version").get() as { user_version: number };
    if (version !== CATALOG_VERSION) return undefined;
    const statement = database.prepare("SELECT digest, name, size_bytes FROM images");
    statement.setReturnArrays(true);
    const rows = statement.all() as unknown as readonly (readonly [ImageDigest, string, number])[];
    return new Map(rows.map(([digest, name, sizeBytes]) => [digest, { name, sizeBytes }]));
  } catch {
    return undefined;
  } finally {
    database?.close();
  }
}
