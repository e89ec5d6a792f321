// Checks who imports whom (.dependency-cruiser.cjs). A rule that looks at nothing must fail: the number of modules and of
// imports that were seen is compared with what is on the disk.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { cruise } from "dependency-cruiser";
import extractTSConfig from "dependency-cruiser/config-utl/extract-ts-config";
import { sourceFiles } from "./source-files.mjs";

const root = dirname(import.meta.dirname);
process.chdir(root);
const config = createRequire(import.meta.url)(join(root, ".dependency-cruiser.cjs"));
const { output } = await cruise(["src"], { ...config.options, ruleSet: { forbidden: config.forbidden }, validate: true }, undefined, {
  tsConfig: extractTSConfig(join(root, "tsconfig.json")),
});

const files = sourceFiles(root, "src");
const seen = new Set(output.modules.map(({ source }) => source));
const unseen = files.filter((file) => !seen.has(file));
const edges = output.modules
  .filter(({ source }) => source.startsWith("src/"))
  .reduce((sum, { dependencies }) => sum + dependencies.length, 0);
const withRelativeImports = files.filter((file) => /^(import|export) .* from "\.\.?\//m.test(readFileSync(join(root, file), "utf8")));
const blind = withRelativeImports.filter((file) => output.modules.find(({ source }) => source === file)?.dependencies.length === 0);

const idle = config.forbidden.filter(({ from }) => from.path !== undefined && !files.some((file) => new RegExp(from.path).test(file)));

const problems = [
  ...output.summary.violations.map(
    ({ rule, from, to, cycle }) => `${rule.name}: ${from} → ${cycle?.map(({ name }) => name).join(" → ") ?? to}`,
  ),
  ...idle.map(({ name, from }) => `${name} checks nothing: no module matches ${from.path}`),
  ...unseen.map((file) => `not looked at: ${file}`),
  ...blind.map((file) => `no import seen in ${file}, though it has some`),
];
for (const { name, comment } of config.forbidden.filter(({ name }) => problems.some((problem) => problem.startsWith(`${name}:`))))
  problems.push(`  ${name}: ${comment}`);
console.log([...problems, `${files.length} modules, ${edges} imports, ${config.forbidden.length} rules`].join("\n"));
process.exitCode = problems.length === 0 && files.length > 20 ? 0 : 1;
