import { z } from "zod";
import { defineStep } from "../src/core/step.ts";
import type { StepDefinition } from "../src/core/step.ts";
import { parseRecipe } from "../src/core/recipe/parse-recipe.ts";
import type { ParsedRecipe, ParseRecipeRequest } from "../src/core/recipe/parse-recipe.ts";
import type { StepRegistry } from "../src/core/recipe/steps.ts";

/** Small steps for the tests of the recipe: each shows one way in which options are written. */
const nothing = (): Promise<void> => Promise.resolve();
const common = { version: 1, summary: "For tests", description: "For tests", examples: [], needs: [], run: nothing } as const;

const debian = defineStep({
  ...common,
  id: "debian",
  role: "foundation",
  options: z.strictObject({
    suite: z.enum(["bookworm", "trixie"]).describe("Which Debian"),
    variant: z.enum(["essential", "minbase"]).default("minbase"),
  }),
});
const rootfs = defineStep({ ...common, id: "rootfs", role: "foundation", options: z.strictObject({ path: z.string() }) });

const apt = defineStep({
  ...common,
  id: "apt",
  role: "provision",
  options: z
    .union([
      z.array(z.string().min(1)).min(1),
      z.strictObject({ packages: z.array(z.string()).min(1).describe("Packages to install"), recommends: z.boolean().default(false) }),
    ])
    .transform((options) => (Array.isArray(options) ? { packages: options, recommends: false } : options)),
  requires: (options) => ({ packages: { names: options.packages, recommends: options.recommends } }),
});
const run = defineStep({
  ...common,
  id: "run",
  role: "provision",
  options: z.union([
    z.string().min(1),
    z.strictObject({
      script: z.string().min(1).describe("What to run"),
      shell: z.enum(["sh", "bash"]).default("sh"),
      environment: z.record(z.string(), z.string()).default({}),
    }),
  ]),
});
const copy = defineStep({
  ...common,
  id: "copy",
  role: "provision",
  options: z.strictObject({
    from: z.string().describe("Source in the recipe's folder"),
    to: z.string().startsWith("/", "must be an absolute path"),
    mode: z
      .string()
      .regex(/^0[0-7]{3}$/, "must be an octal mode such as 0644")
      .optional(),
    template: z.boolean().optional(),
  }),
  requires: (options) => (options.template === true ? { parameters: "all" } : {}),
});
const sysctl = defineStep({ ...common, id: "sysctl", role: "provision", options: z.record(z.string(), z.union([z.string(), z.int()])) });
const system = defineStep({
  ...common,
  id: "system",
  role: "provision",
  options: z.strictObject({ locale: z.string().optional(), limit: z.int().min(1).max(10).optional() }),
});
const listen = defineStep({
  ...common,
  id: "listen",
  role: "provision",
  options: z.strictObject({ port: z.int(), tls: z.boolean().optional() }),
});
const anything = defineStep({
  ...common,
  id: "anything",
  role: "provision",
  options: z.strictObject({ vars: z.record(z.string(), z.json()).optional() }),
});
const unit = defineStep({
  ...common,
  id: "unit",
  role: "provision",
  options: z.discriminatedUnion("action", [
    z.strictObject({ action: z.literal("enable"), unit: z.string() }),
    z.strictObject({ action: z.literal("mask"), unit: z.string() }),
  ]),
});

export const fixtureSteps: StepRegistry = new Map<string, StepDefinition>(
  [debian, rootfs, apt, run, copy, sysctl, system, listen, unit, anything].map((step) => [step.id, step as unknown as StepDefinition]),
);

/** Parses a text as the recipe `bakehouse.yaml` in `/srv/shop`. */
export function parseText(text: string, request: Partial<ParseRecipeRequest> = {}): ParsedRecipe {
  return parseRecipe({ text, file: "/srv/shop/bakehouse.yaml", folder: "/srv/shop", shownAs: "r", steps: fixtureSteps, ...request });
}
