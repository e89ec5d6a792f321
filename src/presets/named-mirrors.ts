import type { Recipe } from "../core/recipe/model.ts";
import type { BoundStep } from "../engine/bound-recipe.ts";
import type { NamedMirror } from "../ports/network-recorder.ts";
import type { PackageResolver } from "../ports/package-resolver.ts";

/** The mirrors that this host and the recipe use, by the names that the lock has for them. */
export function namedMirrors(resolver: PackageResolver, recipe: Recipe, steps: readonly BoundStep[]): readonly NamedMirror[] {
  const foundations = steps.map((bound) => bound.requirements.packages?.foundation).filter((foundation) => foundation !== undefined);
  const probe = (
    repository: string,
  ): {
    readonly name: string;
    readonly version: string;
    readonly architecture: string;
    readonly sha256: `sha256:${string}`;
    readonly sizeBytes: number;
    readonly path: string;
    readonly repository: string;
  } => ({
    name: "probe",
    version: "0",
    architecture: "all",
    sha256: `sha256:${"0".repeat(64)}`,
    sizeBytes: 0,
    path: "probe",
    repository,
  });
  return ["debian", "debian-security", ...recipe.repositories.map((repository) => repository.name)].flatMap((name) => {
    const [foundation] = foundations;
    const located = resolver.locate(
      { repositories: recipe.repositories, folder: recipe.folder, ...(foundation === undefined ? {} : { foundation }) },
      [probe(name)],
    );
    const bases = (located[0] ?? []).filter((url) => url.startsWith("http")).map((url) => url.replace(/probe$/, ""));
    return bases.length === 0 ? [] : [{ name, bases }];
  });
}
