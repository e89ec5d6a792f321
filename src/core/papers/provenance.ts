import type { StepInputs } from "../cache/step-inputs.ts";
import { hexOf, isSha256, type ImageDigest, type Sha256 } from "../digest.ts";
import type { ParameterValue } from "../recipe/model.ts";
import { debianPurl } from "./purl.ts";

/** A step that an image is made of. */
export interface ProvenanceStep {
  /** `<layer>/<step>` */
  readonly address: string;
  readonly type: string;
  readonly diffId: Sha256;
  /** Cache key, and everything that it was made of; absent when this store has no record of the step any more. */
  readonly record?: { readonly key: Sha256; readonly inputs: StepInputs };
}

/** What is known about how an image was baked. */
export interface BakeFacts {
  readonly recipe: string;
  readonly layer: string;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  readonly hermetic: boolean;
  readonly recipeDigest?: Sha256;
  readonly lockDigest?: Sha256;
  readonly parents: readonly { readonly name: string; readonly digest: ImageDigest }[];
  readonly steps: readonly ProvenanceStep[];
  readonly bake: string;
  readonly bakedBy: string;
  /** ISO 8601, UTC. */
  readonly bakedAt: string;
  /** `bakehouse 0.1.0` */
  readonly tool: string;
}

/** SLSA's ResourceDescriptor, as far as it is used here. */
export interface ResourceDescriptor {
  readonly name?: string;
  readonly uri?: string;
  readonly digest: { readonly sha256: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

/** SLSA provenance v1 (predicate type `https://slsa.dev/provenance/v1`); names with `bakehouse_` are extensions. */
export interface Provenance {
  readonly buildDefinition: {
    readonly buildType: string;
    readonly externalParameters: {
      readonly recipe: string;
      readonly layer: string;
      readonly parameters: Readonly<Record<string, ParameterValue>>;
    };
    readonly internalParameters: {
      readonly hermetic: boolean;
      readonly steps: readonly { readonly address: string; readonly type: string; readonly diff: Sha256; readonly key?: Sha256 }[];
      /** Steps whose inputs are not known here any more: what they used is missing below. */
      readonly stepsWithoutRecord?: readonly string[];
    };
    readonly resolvedDependencies: readonly ResourceDescriptor[];
  };
  readonly runDetails: {
    readonly builder: { readonly id: string; readonly version: Readonly<Record<string, string>> };
    readonly metadata: { readonly invocationId: string; readonly finishedOn: string; readonly bakehouse_bakedBy: string };
  };
}

/** Everything that the image was baked from, each by SHA-256. The same image in the same index always gives the same predicate. */
export function provenanceOf(facts: BakeFacts): Provenance {
  const [name = "bakehouse", version = ""] = facts.tool.split(" ");
  const unknown = facts.steps.filter(({ record }) => record === undefined).map(({ address }) => address);
  return {
    buildDefinition: {
      buildType: "https://bakehouse.dev/buildtypes/recipe/v1",
      externalParameters: { recipe: facts.recipe, layer: facts.layer, parameters: facts.parameters },
      internalParameters: {
        hermetic: facts.hermetic,
        steps: facts.steps.map(({ address, type, diffId, record }) => ({
          address,
          type,
          diff: diffId,
          ...(record === undefined ? {} : { key: record.key }),
        })),
        ...(unknown.length === 0 ? {} : { stepsWithoutRecord: unknown }),
      },
      resolvedDependencies: [
        ...named("bakehouse.yaml", facts.recipeDigest),
        ...named("bakehouse.lock", facts.lockDigest),
        ...facts.parents.map((parent) => ({ name: parent.name, digest: sha256(parent.digest), annotations: { role: "parent" } })),
        ...facts.steps.flatMap(dependenciesOf),
      ],
    },
    runDetails: {
      builder: { id: "https://bakehouse.dev/builders/local", version: { [name]: version } },
      metadata: { invocationId: facts.bake, finishedOn: facts.bakedAt, bakehouse_bakedBy: facts.bakedBy },
    },
  };
}

const sha256 = (digest: Sha256): { readonly sha256: string } => ({ sha256: hexOf(digest) });

const named = (name: string, digest: Sha256 | undefined): readonly ResourceDescriptor[] =>
  digest === undefined ? [] : [{ name, digest: sha256(digest) }];

/** The names of inputs are those of `StepInputs`. */
function dependenciesOf({ address, record }: ProvenanceStep): readonly ResourceDescriptor[] {
  return Object.entries(record?.inputs ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([input, value]): readonly ResourceDescriptor[] => {
      const dot = input.indexOf(".");
      const [kind, rest] = dot < 0 ? [input, ""] : [input.slice(0, dot), input.slice(dot + 1)];
      const annotations = { step: address, role: ROLES[kind] ?? "" };
      const digest = /sha256:[0-9a-f]{64}/.exec(value)?.[0] ?? "";
      if (annotations.role === "" || !isSha256(digest)) return [];
      if (kind === "package" || kind === "lent") {
        const [version = "", architecture = ""] = value.split(" ");
        return [{ name: rest, uri: debianPurl({ name: rest, version, architecture }), digest: sha256(digest), annotations }];
      }
      if (kind === "download") return [{ uri: rest, digest: sha256(digest), annotations }];
      if (kind === "recorded") return [{ uri: rest.slice(rest.indexOf(" ") + 1), digest: sha256(digest), annotations }];
      return [{ name: kind, digest: sha256(digest), annotations }];
    });
}

const ROLES: Readonly<Record<string, string>> = {
  package: "package",
  lent: "lent to the step",
  download: "download",
  recorded: "recorded answer",
  files: "files of the recipe's folder",
  image: "OCI image",
};
