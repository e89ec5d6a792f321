import type { Inspection } from "./inspect.ts";
import type { Recipe } from "./model.ts";
import { nameSchema, secretSchema } from "./schema.ts";

/** Reads `secrets:`: where values come from, never the values. Mistakes are told to the inspection. */
export function readSecretSources(inspection: Inspection, section: Readonly<Record<string, unknown>>): Recipe["secrets"] {
  const sources = Object.entries(section).flatMap(([name, declaration]): readonly (readonly [string, Recipe["secrets"][string]])[] => {
    const path = ["secrets", name];
    inspection.check(nameSchema, name, path);
    if (typeof declaration === "string") {
      // The value must not stand in a message either: it may be the secret itself.
      inspection.error(
        path,
        "expected where the secret comes from, found text",
        "write { env: NAME } or { file: path }, never the secret itself",
      );
      return [];
    }
    const source = inspection.check(secretSchema, declaration, path);
    if (source?.env !== undefined) return [[name, { env: source.env }]];
    return source?.file === undefined ? [] : [[name, { file: source.file }]];
  });
  return Object.fromEntries(sources);
}
