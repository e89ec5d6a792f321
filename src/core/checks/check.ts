import type { z } from "zod";
import type { JsonValue } from "../json.ts";
import type { CheckServices } from "../../ports/check-services.ts";
import type { ImageDigest } from "../digest.ts";
import type { CheckPlatform, Verdict } from "./verdict.ts";

export type CheckNeed = keyof CheckServices;

/** What a check found out in one attempt. */
export interface CheckAnswer {
  readonly verdict: Verdict;
  /** One line for people: what was found, with the value. */
  readonly summary: string;
  /** What was answered, as data. */
  readonly answered?: JsonValue;
  /** Lines of a journal or of a tool's output that explain the verdict. */
  readonly excerpt?: readonly string[];
  /** What to do about it. */
  readonly remedy?: string;
  /** Another attempt would prove nothing, whatever `retries` says. Default false. */
  readonly final?: boolean;
}

export interface CheckBaseContext<Options> {
  readonly options: Options;
  readonly image: { readonly digest: ImageDigest; readonly name: string };
  /** How long this attempt may take; what it starts should end before. */
  readonly timeoutMs: number;
  /** Aborted when the time is over or the run is stopped. */
  readonly signal: AbortSignal;
  /** Files of the recipe's folder that `files` named, as they were when the image was baked: path → content. */
  readonly files: Readonly<Record<string, string>>;
  /** Milliseconds of a clock that never goes back. */
  elapsedMs(): number;
  /** Waits, or ends early with an exception when the attempt is over. */
  sleep(milliseconds: number): Promise<void>;
}

export type CheckContext<Options, Needs extends CheckNeed> = CheckBaseContext<Options> & Pick<CheckServices, Needs>;

/** How often and how long a check is tried, where the recipe does not say. */
export interface CheckDefaults {
  /** Further attempts after one that did not pass. */
  readonly retries: number;
  readonly intervalMs: number;
  /** Of one attempt. */
  readonly timeoutMs: number;
}

/** An image as the self-test changes it: with further files, started into a machine that starts nothing else. */
export interface Scenario {
  readonly options: JsonValue;
  readonly files?: readonly ScenarioFile[];
  /** What the check takes along: path → content. */
  readonly brings?: Readonly<Record<string, string>>;
}

export interface ScenarioFile {
  readonly path: string;
  readonly content: string;
  /** Default 0644, 0:0. */
  readonly mode?: number;
  readonly uid?: number;
}

export interface CheckDefinition<Schema extends z.ZodType = z.ZodType, Needs extends CheckNeed = CheckNeed> {
  /** As written in a recipe: kebab-case. */
  readonly id: string;
  /** Raised when equal options start giving another verdict: a self-test of another version says nothing. */
  readonly version: number;
  readonly summary: string;
  /** Markdown, for the reference. */
  readonly description: string;
  /** YAML snippets for the reference, each a list item under `checks:`; tests parse them. */
  readonly examples: readonly string[];
  readonly options: Schema;
  /** Where it runs; a function where the options say so. */
  readonly platform: CheckPlatform | ((options: z.output<Schema>) => CheckPlatform);
  readonly needs: readonly Needs[];
  readonly defaults: CheckDefaults;
  /** It judges what happened meanwhile, so it runs when the other checks of its platform are done. Default false. */
  readonly runsLast?: boolean;
  /** Files of the recipe's folder that it takes along. */
  files?(options: z.output<Schema>): readonly string[];
  /** @throws what went wrong with the asking itself: the verdict is `error` */
  run(context: CheckContext<z.output<Schema>, Needs>): Promise<CheckAnswer>;
  /** For the self-test: a change that must be found, and one that must not. */
  readonly selfTest: { readonly sound: Scenario; readonly faulty: Scenario };
}

export type CheckRegistry = ReadonlyMap<string, CheckDefinition>;

/** Declares a check: one file holding schema, docs and run. */
export function defineCheck<Schema extends z.ZodType, const Needs extends CheckNeed>(
  definition: CheckDefinition<Schema, Needs>,
): CheckDefinition<Schema, Needs> {
  return definition;
}

export const platformOf = (definition: CheckDefinition, options: unknown): CheckPlatform =>
  typeof definition.platform === "function" ? definition.platform(options) : definition.platform;
