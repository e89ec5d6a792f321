import type { Verdict } from "../checks/verdict.ts";
import type { MaintenanceWindow } from "../cycle/model.ts";
import type { JsonValue } from "../json.ts";
import type { Gate, People } from "../rollout/policy.ts";

/** What a number must keep to. `between` includes its ends. */
export type Bound =
  { readonly below: number } | { readonly above: number } | { readonly between: readonly [lowest: number, highest: number] };

/** Moved instances against untouched ones: fails when they are shown to be worse by more than the tolerance. */
export interface Comparison {
  /** The direction that is bad. */
  readonly worse: "up" | "down" | "either";
  /** In the unit of the numbers, or a share of the median of the untouched ones (of their odds, when requests are counted). */
  readonly tolerance: { readonly by: number } | { readonly percent: number };
  /** How often, of 100 times that nothing is wrong, it may fail all the same. 1 is one in a hundred. */
  readonly falseAlarmsPercent: number;
  /** Numbers (or requests) that each side must have; under it there is no verdict. */
  readonly minSamples: number;
}

/** Where numbers stand in what was answered: a path in JSON for `http`, a query for `prometheus`. Counted requests are only compared. */
export type Wanted = { readonly value: string } | { readonly errors: string; readonly requests: string };

export type Expected = Bound | { readonly compare: Comparison };

/** Value of a header; a secret is named, so that no plan or record holds it. */
export type HeaderValue = string | { readonly secret: string };

interface Numbers {
  readonly wanted: Wanted;
  readonly expected: Expected;
  readonly timeoutMs: number;
}

export interface HttpProbe extends Numbers {
  readonly kind: "http";
  /** A URL is asked once, or once for each instance if it has {{instance}} or {{address}}; a path is asked of each instance itself. */
  readonly at:
    { readonly url: string; readonly headers: Readonly<Record<string, HeaderValue>> } | { readonly path: string; readonly port: number };
}

export interface PrometheusProbe extends Numbers {
  readonly kind: "prometheus";
  readonly server: string;
  readonly headers: Readonly<Record<string, HeaderValue>>;
  /** What `{{window}}` stands for at most; never longer than the instances have been moved. */
  readonly windowMs: number;
}

export interface LogProbe {
  readonly kind: "log";
  readonly pattern: string;
  readonly unit?: string;
  /** So many lines may match, of all moved instances together. */
  readonly atMost: number;
  /** The newest lines of each instance that are read. */
  readonly lines: number;
  /** A line that the pattern must find, for the self-test; made from the pattern if absent. */
  readonly example?: string;
}

/** Passes while one of the windows is open; asks nobody but the clock. */
export interface WindowProbe {
  readonly kind: "windows";
  readonly windows: readonly MaintenanceWindow[];
}

export type GateProbe = HttpProbe | PrometheusProbe | LogProbe | WindowProbe;

/** A gate with what it asks. */
export interface ProbedGate extends Gate {
  readonly probe: GateProbe;
}

/** A gate that waits for people. */
export interface ApprovalGate extends Gate {
  readonly people: People;
}

export type RolloutGate = ProbedGate | ApprovalGate;

export const isProbed = (gate: RolloutGate): gate is ProbedGate => "probe" in gate;

/** What one source said. Numbers may be NaN or infinite, as they came. */
export type Reading = {
  /** Id of an instance, or host of a server. */
  readonly from: string;
  /** Why this may not be all that there is; such a reading never passes. */
  readonly doubt?: string;
} & (
  | { readonly problem: string }
  | { readonly numbers: readonly number[] }
  | { readonly errors: readonly number[]; readonly requests: readonly number[] }
  /** How many lines were searched, and those in which the pattern was found. */
  | { readonly lines: number; readonly matching: readonly string[] }
  /** What the clock says: ISO 8601, UTC. */
  | { readonly at: string }
);

/** What was said of the two sides; `untouched` is only looked at by comparisons. */
export interface GateSamples {
  readonly moved: readonly Reading[];
  readonly untouched: readonly Reading[];
}

export interface GateAnswer {
  readonly verdict: Verdict;
  /** One line for people. */
  readonly detail: string;
  /** The same for programs: counts, effect, p-value. */
  readonly data: JsonValue;
}
