import { stringify } from "yaml";
import type { z } from "zod";
import type { StepDefinition } from "../step.ts";
import type {
  CheckSettings,
  CycleSource,
  ImageSource,
  LayerSource,
  NotifySource,
  ParameterSource,
  RecipeSource,
  RepositorySource,
  RetentionSource,
  ChannelSource,
  FleetSource,
  StepSettings,
  StepSource,
} from "./source.ts";
import type { ParameterValue } from "./model.ts";

/** Steps by id, as a builder needs them. */
type StepsById = Readonly<Record<string, Pick<StepDefinition, "id" | "options">>>;

/** What may stand behind each step id: `{ apt: string[] | {…}; run: string | {…}; … }`. */
export type StepOptions<Steps extends StepsById> = { readonly [Id in keyof Steps]: z.input<Steps[Id]["options"]> };

/** The text of `bakehouse.yaml` for a recipe that was written as an object; parsing it gives the same recipe. */
export function recipeToYaml(source: { readonly name: string; readonly layers: object }): string {
  return stringify(source, { lineWidth: 0, aliasDuplicateObjects: false, version: "1.2", schema: "core" });
}

/** Types an object as a recipe; the object is what `bakehouse.yaml` would hold. */
export const defineRecipe = <Options extends object>(source: RecipeSource<Options>): RecipeSource<Options> => source;

/** A recipe that is put together call by call; each call gives a new one and leaves the old one as it was. */
export interface RecipeBuilder<Options extends object> {
  readonly source: RecipeSource<Options>;
  description(text: string): RecipeBuilder<Options>;
  /** A parameter with a default, whose type it takes: `parameter("version", "1.0.0")`, or its whole declaration. */
  parameter(name: string, value: ParameterValue | ParameterSource): RecipeBuilder<Options>;
  repository(name: string, repository: RepositorySource): RecipeBuilder<Options>;
  secret(name: string, from: { readonly env: string } | { readonly file: string }): RecipeBuilder<Options>;
  cake(cake: "baked" | "software" | "boot"): RecipeBuilder<Options>;
  foundationBuilder(builder: "own" | "mmdebstrap"): RecipeBuilder<Options>;
  cycle(cycle: CycleSource): RecipeBuilder<Options>;
  retention(retention: RetentionSource): RecipeBuilder<Options>;
  notify(name: string, target: NotifySource): RecipeBuilder<Options>;
  /** The next channel that images go through. */
  channel(name: string, channel?: ChannelSource): RecipeBuilder<Options>;
  fleet(name: string, fleet: FleetSource): RecipeBuilder<Options>;
  layer(name: string, build: (layer: LayerBuilder<Options>) => LayerBuilder<Options>): RecipeBuilder<Options>;
  toYaml(): string;
}

/** A layer that is put together call by call. Every step is also a method: `.apt(["curl"])`, `.run("…", { timeout: "5m" })`. */
export type LayerBuilder<Options extends object> = LayerCalls<Options> & {
  readonly [Id in keyof Options as MethodName<Id>]: (options: Options[Id], settings?: StepSettings) => LayerBuilder<Options>;
};

interface LayerCalls<Options extends object> {
  readonly source: LayerSource<Options>;
  description(text: string): LayerBuilder<Options>;
  /** A layer of the recipe, `image:<name or digest>`, or `{ image }`. */
  from(parent: string | { readonly image: string }): LayerBuilder<Options>;
  step<Id extends keyof Options & string>(id: Id, options: Options[Id], settings?: StepSettings): LayerBuilder<Options>;
  image(settings: ImageSource): LayerBuilder<Options>;
  /** What an image of this layer, and of every layer above, must pass: `.check("http", { path: "/health" }, { retries: 9 })`. */
  check(type: string, options?: unknown, settings?: CheckSettings): LayerBuilder<Options>;
  /** `layer`, or where the release is mounted as a volume. */
  release(release: "layer" | { readonly volume: string }): LayerBuilder<Options>;
}

/** `hostname-policy` → `hostnamePolicy` */
type MethodName<Id> = Id extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<MethodName<Tail>>}` : Id extends string ? Id : never;

/**
 * Makes the `recipe()` of a set of steps, which knows each step's options.
 *
 * @param steps  by id; a key that is not the id of its step is a mistake in the program
 * @example const recipe = recipeBuilder({ debian, apt, run });
 *          recipe("shop").layer("base", (layer) => layer.debian({ suite: "bookworm" }).apt(["curl"])).toYaml();
 */
export function recipeBuilder<const Steps extends StepsById>(steps: Steps): (name: string) => RecipeBuilder<StepOptions<Steps>> {
  const ids = Object.keys(steps);
  for (const [key, step] of Object.entries(steps)) if (step.id !== key) throw new Error(`the step "${step.id}" stands under "${key}"`);
  return (name) => recipeFrom<StepOptions<Steps>>({ name, layers: {} }, ids);
}

function recipeFrom<Options extends object>(source: RecipeSource<Options>, ids: readonly string[]): RecipeBuilder<Options> {
  const change = (part: Partial<RecipeSource<Options>>): RecipeBuilder<Options> => recipeFrom({ ...source, ...part }, ids);
  return {
    source,
    description: (description) => change({ description }),
    parameter: (name, value) => change({ parameters: { ...source.parameters, [name]: value } }),
    repository: (name, repository) => change({ repositories: { ...source.repositories, [name]: repository } }),
    secret: (name, from) => change({ secrets: { ...source.secrets, [name]: from } }),
    cake: (cake) => change({ cake }),
    foundationBuilder: (builder) => change({ foundation: { builder } }),
    cycle: (cycle) => change({ cycle }),
    retention: (retention) => change({ retention }),
    notify: (name, target) => change({ notify: { ...source.notify, [name]: target } }),
    fleet: (name, fleet) => change({ fleets: { ...source.fleets, [name]: fleet } }),
    channel: (name, channel = {}) => change({ channels: { ...source.channels, [name]: channel } }),
    layer: (name, build) => change({ layers: { ...source.layers, [name]: build(layerFrom<Options>({}, ids)).source } }),
    toYaml: () => recipeToYaml(source),
  };
}

function layerFrom<Options extends object>(source: LayerSource<Options>, ids: readonly string[]): LayerBuilder<Options> {
  const change = (part: Partial<LayerSource<Options>>): LayerBuilder<Options> => layerFrom({ ...source, ...part }, ids);
  const step = <Id extends keyof Options & string>(id: Id, options: Options[Id], settings: StepSettings = {}): LayerBuilder<Options> => {
    const added = { [id]: options, ...settings } as unknown as StepSource<Options>;
    return change({ steps: [...(source.steps ?? []), added] });
  };
  const calls: LayerCalls<Options> = {
    source,
    step,
    description: (description) => change({ description }),
    from: (from) => change({ from }),
    image: (image) => change({ image }),
    check: (type, options = {}, settings = {}) => change({ checks: [...(source.checks ?? []), { [type]: options, ...settings }] }),
    release: (release) => change({ release }),
  };
  const methods = ids.map((id) => [
    methodName(id),
    (options: never, settings?: StepSettings) => step(id as keyof Options & string, options, settings),
  ]);
  // The type of the methods is computed from the same ids; the compiler cannot see that.
  return { ...Object.fromEntries(methods), ...calls } as LayerBuilder<Options>;
}

const methodName = (id: string): string => id.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
