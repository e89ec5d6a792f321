import type { DiffId, Sha256 } from "../core/digest.ts";
import { canonicalJson } from "../core/json.ts";
import type { ParameterValue } from "../core/recipe/model.ts";
import type { FileRequest } from "../core/step.ts";
import type { InputHasher } from "../ports/host.ts";
import type { Store } from "../ports/store.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import type { BakedImage } from "./assemble-image.ts";

/** What was asked for, besides the recipe and its lock. */
export interface AskedBake {
  readonly layers: readonly string[];
  /** As they were given, before the recipe said what type they are. */
  readonly parameters: Readonly<Record<string, ParameterValue>>;
}

/** The texts that a bake is made from. */
export interface BakeTexts {
  /** Absolute path of the recipe's file. */
  readonly file: string;
  readonly recipe: Sha256;
  /** Absent for a recipe that needs no lock. */
  readonly lock?: Sha256;
  readonly asked: AskedBake;
}

/**
 * All that the result of a bake was read from, and the result. As long as everything here is as it was, the same command has
 * nothing to do and gives the same: that can be seen without reading recipe and lock again. A note, which may be lost or thrown away.
 */
interface StandingBake {
  /** Of this Bakehouse's own code: another may read the same recipe in another way. */
  readonly build: string;
  readonly recipe: Sha256;
  readonly lock: Sha256 | null;
  readonly asked: string;
  readonly inputs: readonly { readonly requests: readonly FileRequest[]; readonly digest: Sha256 }[];
  /** Version of the host's Ansible, where a step depends on it; null: it is not there. */
  readonly ansible?: string | null;
  readonly diffs: readonly DiffId[];
  /** Blobs that have no unpacked diff: release volumes. */
  readonly blobs: readonly Sha256[];
  readonly images: readonly BakedImage[];
  readonly hits: number;
}

export type StandingFacts = Pick<StandingBake, "inputs" | "ansible" | "diffs" | "blobs" | "images" | "hits">;

type Hasher = Pick<InputHasher, "digestOf" | "hash" | "toolVersion">;

const noteOf = (file: string, hasher: Pick<Hasher, "digestOf">): string =>
  `plans/standing-${hasher.digestOf(file).slice("sha256:".length)}.json`;

const askedText = ({ layers, parameters }: AskedBake): string => canonicalJson({ layers, parameters });

export function rememberStanding(
  store: Store,
  hasher: Pick<Hasher, "digestOf">,
  build: string,
  texts: BakeTexts,
  facts: StandingFacts,
): void {
  const images = facts.images.map((image): BakedImage => ({ ...image, cached: true, durationMs: 0 }));
  const note: StandingBake = { ...facts, images, build, recipe: texts.recipe, lock: texts.lock ?? null, asked: askedText(texts.asked) };
  store.writeNote(noteOf(texts.file, hasher), note);
}

/** What the bake gives when all is as it was; undefined when something is not, or nobody knows. */
export function findStanding(
  store: Store,
  hasher: Hasher,
  build: string,
  folder: string,
  texts: BakeTexts,
): Pick<StandingBake, "images" | "hits"> | undefined {
  const note = store.readNote(noteOf(texts.file, hasher)) as StandingBake | undefined;
  if (note?.build !== build || note.recipe !== texts.recipe || note.lock !== (texts.lock ?? null)) return undefined;
  if (note.asked !== askedText(texts.asked) || (!store.readOnly && store.hasLeftovers())) return undefined;
  if (note.ansible !== undefined && note.ansible !== (hasher.toolVersion("ansible") ?? null)) return undefined;
  const names = new Map(store.images.entries().map((entry) => [entry.annotations[ANNOTATIONS.name], entry.digest]));
  if (!note.images.every((image) => names.get(image.name) === image.digest && store.blobs.has(image.digest))) return undefined;
  if (!note.diffs.every((diff) => store.blobs.has(diff) && store.diffs.has(diff))) return undefined;
  if (!note.blobs.every((blob) => store.blobs.has(blob))) return undefined;
  return note.inputs.every(({ requests, digest }) => hasher.hash(folder, requests).digest === digest) ? note : undefined;
}
