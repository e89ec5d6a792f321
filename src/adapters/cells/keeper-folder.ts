import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The keeper's program: beside this file in a checkout, in `dist/cell-keeper` in the package (whose chunks may lie deeper). */
export function keeperProgram(from: string = dirname(fileURLToPath(import.meta.url))): string {
  const candidates = ["keeper", ...[".", "..", "../.."].flatMap((up) => [join(up, "cell-keeper"), join(up, "dist/cell-keeper")])];
  const found = candidates.map((folder) => join(from, folder, "keeper.pl")).find((file) => existsSync(file));
  if (found === undefined) throw new Error(`The keeper of cells is missing from the package (looked from ${from})`);
  return found;
}
