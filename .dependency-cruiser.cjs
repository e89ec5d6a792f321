// Who may import whom: see docs/architecture.md. tools/check-imports.mjs runs it and asserts that it looked at every module.
const rule = (name, comment, from, to) => ({ name, comment, severity: "error", from, to });
/** Tests, what they share, and contract suites of ports. */
const TESTS = ["\\.(test|testing|contract)\\.ts$", "/fixtures?[a-z-]*\\.ts$"];
const notTests = { pathNot: TESTS };

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    rule("no-cycles", "Move the shared type into a leaf file that both import.", {}, { circular: true }),
    rule(
      "core-is-pure",
      "The core imports core, port types, zod, yaml and croner (as arithmetic): no node:*, no I/O.",
      { path: "^src/core/", ...notTests },
      {
        pathNot: ["^src/core/", "^src/ports/[^/]+\\.ts$", "^node_modules/(zod|yaml|croner)/"],
      },
    ),
    rule(
      "core-takes-only-types-of-ports",
      "What the core needs at run time comes in as a value.",
      { path: "^src/core/", ...notTests },
      {
        path: "^src/ports/",
        dependencyTypesNot: ["type-only"],
      },
    ),
    rule(
      "ports-are-interfaces",
      "A port names core types and other ports, nothing else.",
      { path: "^src/ports/", ...notTests },
      {
        pathNot: ["^src/core/", "^src/ports/"],
      },
    ),
    rule(
      "steps-ask-for-ports",
      "A step gets what it needs from the engine: core, port types, node:path/posix.",
      { path: "^src/steps/", ...notTests },
      {
        pathNot: ["^src/core/", "^src/ports/", "^src/steps/", "^node_modules/zod/", "^(node:)?path(/posix)?$"],
      },
    ),
    rule(
      "checks-ask-for-ports",
      "A check gets what it needs from the engine: core, port types, node:path/posix.",
      { path: "^src/checks/", ...notTests },
      {
        pathNot: ["^src/core/", "^src/ports/", "^src/checks/", "^node_modules/zod/", "^(node:)?path(/posix)?$"],
      },
    ),
    rule(
      "engine-knows-no-adapter",
      "The engine sees adapters through ports; presets put them together.",
      { path: "^src/engine/", ...notTests },
      {
        path: "^src/(adapters|presets|cli|api)/",
      },
    ),
    rule(
      "adapters-decide-nothing",
      "An adapter implements ports; it knows neither engine nor steps nor checks.",
      { path: "^src/adapters/", ...notTests },
      {
        path: "^src/(engine|steps|checks|presets|cli|api)/",
      },
    ),
    rule(
      "nobody-imports-the-cli",
      "The CLI is the outermost layer.",
      { path: "^src/", pathNot: ["^src/cli/", ...TESTS] },
      { path: "^src/cli/" },
    ),
    rule(
      "tests-stay-out-of-the-product",
      "Only tests import tests and contract suites.",
      { path: "^src/", pathNot: TESTS },
      {
        path: [...TESTS, "^test/", "^node_modules/(vitest|fast-check|ajv)/"],
      },
    ),
    rule("everything-resolves", "The import leads nowhere.", {}, { couldNotResolve: true }),
    rule(
      "no-undeclared-packages",
      "Add it to dependencies in package.json.",
      { path: "^src/", ...notTests },
      { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"], pathNot: "^node_modules/@types/" },
    ),
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: "specify",
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
      extensions: [".ts", ".mjs", ".js", ".cjs", ".json"],
    },
    moduleSystems: ["es6", "cjs"],
  },
};
