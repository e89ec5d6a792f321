import type { CheckRegistry } from "../checks/check.ts";
import { problemsError } from "../errors.ts";
import type { BakehouseError } from "../errors.ts";
import { checkRepositories } from "./cake.ts";
import { readCycle } from "./cycle-section.ts";
import { readChannels } from "./channels.ts";
import { describeValue, quote } from "./describe-value.ts";
import { Inspection, isMapping, readFields } from "./inspect.ts";
import { readLayers } from "./layers.ts";
import type { AptRepository, Recipe, RecipeLayer } from "./model.ts";
import { secretsOfGates } from "./gates-section.ts";
import { readSecretSources } from "./secret-sources.ts";
import { readFleets } from "./fleets-section.ts";
import { readNotify } from "./notify-section.ts";
import { readParameters } from "./parameters.ts";
import type { ParameterOverrides } from "./parameters.ts";
import { limitProblems } from "./problems.ts";
import type { RecipeProblem } from "./problems.ts";
import { readYaml } from "./read-yaml.ts";
import { readRetention } from "./retention-section.ts";
import { nameSchema, recipeFields, repositoryFields, RESERVED_REPOSITORIES } from "./schema.ts";
import { fillIn } from "./items.ts";
import type { StepRegistry, StepSurroundings } from "./steps.ts";

export interface ParseRecipeRequest {
  /** The content of `bakehouse.yaml`. */
  readonly text: string;
  /** Absolute path of the file. */
  readonly file: string;
  /** Absolute path of its folder. */
  readonly folder: string;
  /** What problems call the file, such as its path relative to where the user stands. Default: `file`. */
  readonly shownAs?: string;
  readonly steps: StepRegistry;
  /** Default: no check can be named. */
  readonly checks?: CheckRegistry;
  /** Values of parameters from outside (`--set`). */
  readonly parameters?: ParameterOverrides;
}

/** A recipe with the warnings about it, or everything that is wrong with it (warnings among it), in the order of the text. */
export type ParsedRecipe =
  | { readonly recipe: Recipe; readonly problems: readonly RecipeProblem[] }
  | { readonly recipe?: never; readonly problems: readonly RecipeProblem[] };

/**
 * Reads a recipe: YAML, shape, parameters, steps, and how the layers stand on each other.
 *
 * @returns never throws for anything that stands in the text: all mistakes at once, each with its line and column
 * @example parseRecipe({ text, file: "/srv/shop/bakehouse.yaml", folder: "/srv/shop", steps, parameters: { version: "2.0" } })
 */
export function parseRecipe(request: ParseRecipeRequest): ParsedRecipe {
  const shownAs = request.shownAs ?? request.file;
  const yaml = readYaml(request.text, shownAs);
  const inspection = new Inspection(yaml, shownAs);
  inspection.problems.push(...yaml.problems);
  const recipe = yaml.readable ? readRecipe(inspection, yaml.value, request) : undefined;
  const problems = limitProblems(inspection.problems, shownAs);
  return recipe === undefined || inspection.failed ? { problems } : { recipe, problems };
}

/** The recipe, or all mistakes as one error. @throws RECIPE_INVALID */
export function requireRecipe(parsed: ParsedRecipe): Recipe {
  if (parsed.recipe !== undefined) return parsed.recipe;
  throw recipeInvalid(parsed.problems);
}

const recipeInvalid = (problems: readonly RecipeProblem[]): BakehouseError =>
  problemsError(
    "RECIPE_INVALID",
    problems.filter((problem) => problem.severity === "error"),
    "bakehouse schema, to see what a recipe may hold",
  );

function readRecipe(inspection: Inspection, value: unknown, request: ParseRecipeRequest): Recipe | undefined {
  if (value === undefined) {
    inspection.error([], "the recipe is empty", "bakehouse init writes one");
    return undefined;
  }
  if (!isMapping(value)) {
    inspection.error([], `a recipe is a mapping with name and layers, this is ${describeValue(value)}`);
    return undefined;
  }
  const fields = readFields(inspection, value, [], recipeFields, "x-");
  const parameters = readParameters(inspection, fields?.parameters, request.parameters ?? {});
  const secrets = readSecretSources(inspection, fields?.secrets ?? {});
  const around: StepSurroundings = {
    inspection,
    registry: request.steps,
    checks: request.checks ?? new Map(),
    parameters,
    secretNames: Object.keys(fields?.secrets ?? {}),
    usedParameters: new Set(),
    usedSecrets: new Set(),
  };
  const repositories = readRepositories(around, fields?.repositories ?? {});
  const layers = readLayers(around, fields?.layers, fields?.cake);
  checkRepositories(inspection, fields?.cake ?? "baked", repositories);
  const cycle = readCycle(inspection, fields?.cycle);
  const retention = readRetention(inspection, fields?.retention, {
    layers: isMapping(fields?.layers) ? Object.keys(fields.layers) : [],
    channels: isMapping(fields?.channels) ? Object.keys(fields.channels) : [],
  });
  const notify = readNotify(inspection, fields?.notify ?? {}, around.secretNames);
  for (const name of notify.secrets) around.usedSecrets.add(name);
  const channels = readChannels(inspection, fields?.channels ?? {}, layers);
  const fleets = readFleets(inspection, fields?.fleets ?? {}, {
    layers: isMapping(fields?.layers) ? Object.keys(fields.layers) : [],
    channels: Object.keys(fields?.channels ?? {}),
    secrets: around.secretNames,
  });
  for (const secret of fleets.flatMap((fleet) => [...fleet.secrets, ...secretsOfGates(fleet.rollout?.gates ?? [])]))
    around.usedSecrets.add(secret);
  if (inspection.failed || fields?.name === undefined) return undefined;
  warnAboutUnused(around, layers, repositories);
  return {
    name: fields.name,
    ...(fields.description === undefined ? {} : { description: fields.description }),
    cake: fields.cake ?? "baked",
    parameters: parameters.parameters,
    repositories,
    layers,
    foundation: fields.foundation ?? { builder: "own" },
    secrets,
    ...(cycle === undefined ? {} : { cycle }),
    ...(retention === undefined ? {} : { retention }),
    ...(notify.targets.length === 0 ? {} : { notify: notify.targets }),
    channels,
    ...(fleets.length === 0 ? {} : { fleets }),
    file: request.file,
    folder: request.folder,
  };
}

function readRepositories(around: StepSurroundings, section: Readonly<Record<string, unknown>>): readonly AptRepository[] {
  return Object.entries(section).flatMap(([name, declaration]): readonly AptRepository[] => {
    const path = ["repositories", name];
    const { inspection } = around;
    inspection.check(nameSchema, name, path);
    if (RESERVED_REPOSITORIES.includes(name))
      inspection.error(path, `${quote(name)} is what the lock calls packages of the suite itself`, "choose another name", "key");
    const filled = fillIn(around, declaration, path);
    const fields = readFields(inspection, filled.value, path, repositoryFields);
    if (fields === undefined) return [];
    requireTrust(around, path, filled.value);
    if (fields.url === undefined || fields.suites === undefined || fields.components === undefined) return [];
    return [repositoryOf(name, { ...fields, url: fields.url, suites: fields.suites, components: fields.components })];
  });
}

/** Packages run as root while they are installed: nobody takes unsigned ones by an oversight. */
function requireTrust({ inspection }: StepSurroundings, path: readonly string[], declaration: unknown): void {
  if (!isMapping(declaration)) return;
  if (declaration["key"] === undefined && declaration["trusted"] === undefined) {
    inspection.error(
      path,
      'has neither "key" nor "trusted"',
      "key: keys/name.asc says who signs it; trusted: true takes it unsigned",
      "key",
    );
  } else if (declaration["key"] !== undefined && declaration["trusted"] !== undefined) {
    inspection.error([...path, "trusted"], "a repository with a key is verified: remove one of the two", undefined, "key");
  }
}

interface RepositoryFields {
  readonly url: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  readonly key?: string | undefined;
  readonly trusted?: true | undefined;
  readonly priority?: number | undefined;
}

function repositoryOf(name: string, fields: RepositoryFields): AptRepository {
  return {
    name,
    url: fields.url,
    suites: fields.suites,
    components: fields.components,
    ...(fields.key === undefined ? {} : { keyFile: fields.key }),
    ...(fields.trusted === undefined ? {} : { trusted: fields.trusted }),
    ...(fields.priority === undefined ? {} : { priority: fields.priority }),
  };
}

/** Only told about a recipe without mistakes: a use may hide behind one. */
function warnAboutUnused(around: StepSurroundings, layers: readonly RecipeLayer[], repositories: readonly AptRepository[]): void {
  const { inspection, registry } = around;
  const steps = layers.flatMap((layer) => layer.steps);
  const needs = steps.map((step) => registry.get(step.id)?.requires?.(step.options));
  const inFiles = needs.map((need) => need?.parameters ?? []);
  for (const { name } of around.parameters.parameters) {
    const used = around.usedParameters.has(name) || inFiles.some((names) => names === "all" || names.includes(name));
    if (!used) inspection.warn(["parameters", name], "nothing uses this parameter", `steps use it as {{${name}}}`);
  }
  for (const name of around.secretNames) {
    if (!around.usedSecrets.has(name))
      inspection.warn(["secrets", name], "no step uses this secret", `a step asks for it with \`secrets: [${name}]\``);
  }
  if (needs.some((need) => need?.packages !== undefined || need?.lent !== undefined)) return;
  for (const { name } of repositories)
    inspection.warn(["repositories", name], "no step installs packages, so nothing uses this repository");
}
