import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { aptResolver } from "../adapters/apt-resolver/index.ts";
import {
  buildDeb,
  createKey,
  writeRepository,
  type TestKey,
  type TestPackage,
  type TestSuite,
} from "../adapters/apt-resolver/test-repository.testing.ts";
import { createTransfer, localPackageStore, packageDownloader } from "../adapters/local-package-store/index.ts";
import { hashInputs, openStatCache } from "../adapters/recipe-inputs/index.ts";
import type { BakehouseError } from "../core/errors.ts";
import { formatLockChanges } from "../core/lock/lock-diff.ts";
import { parseLock, serialiseLock } from "../core/lock/lock-file.ts";
import type { Lock } from "../core/lock/model.ts";
import type { AptRepository, Recipe, RecipeLayer, RecipeStep } from "../core/recipe/model.ts";
import { defineStep, type StepRequirements } from "../core/step.ts";
import type { BoundStep } from "./bound-recipe.ts";
import { checkLock, requireFreshLock } from "./check-lock.ts";
import { lockRecipe, type LockOptions, type LockResult } from "./lock-recipe.ts";

let key: TestKey;
beforeAll(() => {
  key = createKey("archive");
});
afterAll(() => key.remove());

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-lock-"));
  mkdirSync(join(folder, "recipe"));
  debian(START);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const deb = (name: string, version = "1.0-1", fields: Readonly<Record<string, string>> = {}): TestPackage => ({ name, version, fields });
const BASE = [
  deb("base-files", "12", { Essential: "yes", Priority: "required", Depends: "libc6" }),
  deb("libc6", "2.36"),
  deb("apt", "2.6"),
  deb("usr-is-merged"),
];
const START = [...BASE, deb("curl", "7.0", { Depends: "libcurl" }), deb("libcurl", "7.0"), deb("nginx", "1.22"), deb("jq", "1.6")];
let day = 0;
/** Each state of the mirror is a day younger than the one before. */
const debian = (packages: readonly TestPackage[], more: Partial<TestSuite> = {}): void => {
  rmSync(join(folder, "debian"), { recursive: true, force: true });
  writeRepository(join(folder, "debian"), { suite: "bookworm", key, packages, date: new Date(Date.UTC(2026, 0, ++day)), ...more });
};

const signal = AbortSignal.timeout(60_000);
const hasher = (): LockOptions["hasher"] => {
  const cache = openStatCache(join(folder, "stat-cache"));
  return {
    hash: (root, requests) => hashInputs(root, requests, cache),
    digestOf: (text) => `sha256:${createHash("sha256").update(text).digest("hex")}`,
  };
};
const parts = (): Pick<LockOptions, "resolver" | "packageStore" | "downloader" | "hasher"> => {
  const transfer = createTransfer({ environment: {}, attempts: 1 });
  const packageStore = localPackageStore(join(folder, "store", "packages"));
  const environment = { BAKEHOUSE_MIRROR: pathToFileURL(join(folder, "debian")).href };
  const resolver = aptResolver({
    folder: join(folder, "store", "apt"),
    packageStore,
    transfer,
    environment,
    debianKeyring: key.binaryFile,
  });
  return { resolver, packageStore, downloader: packageDownloader(packageStore, transfer), hasher: hasher() };
};

interface TestStep {
  readonly name: string;
  readonly requirements: StepRequirements;
  readonly network?: RecipeStep["network"];
}
type TestLayers = Readonly<Record<string, { readonly from?: RecipeLayer["from"]; readonly steps: readonly TestStep[] }>>;

const position = { line: 1, column: 1 };
function recipeOf(layers: TestLayers, repositories: readonly AptRepository[] = []): Pick<LockOptions, "recipe" | "steps"> {
  const bound: BoundStep[] = [];
  const recipeLayers = Object.entries(layers).map(([name, { from, steps }]): RecipeLayer => {
    const layer: RecipeLayer = {
      name,
      ...(from === undefined ? {} : { from }),
      steps: steps.map((step) => stepOf(name, step)),
      image: { ports: [], users: [], labels: {} },
      checks: [],
      artifacts: [],
      release: { as: "layer" },
      parameters: [],
      position,
    };
    for (const step of steps)
      bound.push({ step: stepOf(name, step), layer, definition: definitionOf(step), options: {}, requirements: step.requirements });
    return layer;
  });
  const recipe: Recipe = {
    name: "shop",
    cake: "baked",
    parameters: [],
    repositories,
    layers: recipeLayers,
    foundation: { builder: "own" },
    secrets: {},
    channels: [],
    file: join(folder, "recipe", "bakehouse.yaml"),
    folder: join(folder, "recipe"),
  };
  return { recipe, steps: bound };
}
const stepOf = (layer: string, { name, network = "none" }: TestStep): RecipeStep => ({
  id: name,
  name,
  address: `${layer}/${name}`,
  options: {},
  timeoutMs: 1000,
  network,
  secrets: [],
  position,
});
const definitionOf = ({ name, requirements }: TestStep): BoundStep["definition"] =>
  defineStep({
    id: name,
    version: 1,
    role: requirements.packages?.foundation === undefined ? "provision" : "foundation",
    summary: "",
    description: "",
    examples: [],
    options: z.unknown(),
    needs: [],
    run: () => Promise.resolve(),
  });

const foundation = { suite: "bookworm", variant: "minbase", components: ["main"], security: false, updates: false } as const;
const debianStep: TestStep = { name: "debian", requirements: { packages: { names: [], recommends: false, foundation } } };
const apt = (...names: readonly string[]): TestStep => ({ name: "apt", requirements: { packages: { names, recommends: false } } });
const shop = (baseApp: readonly string[], base: readonly string[] = ["curl"], first: TestStep = debianStep): TestLayers => ({
  foundation: { steps: [first] },
  base: { from: { layer: "foundation" }, steps: [apt(...base), { name: "copy", requirements: {} }] },
  "base-app": { from: { layer: "base" }, steps: [apt(...baseApp)] },
});

const lock = (layers: TestLayers, more: Partial<LockOptions> = {}, repositories: readonly AptRepository[] = []): Promise<LockResult> =>
  lockRecipe({ ...recipeOf(layers, repositories), ...parts(), update: false, signal, ...more });
const names = (result: Lock, address: string): string =>
  (result.steps[address]?.packages ?? []).map(({ name, version }) => `${name} ${version}`).join(", ");
const refusal = async (work: Promise<unknown>): Promise<BakehouseError> =>
  (await work.then(
    () => Promise.reject(new Error("was not refused")),
    (error: unknown) => error,
  )) as BakehouseError;
const storedPackages = (): number =>
  readdirSync(join(folder, "store", "packages"), { recursive: true }).filter((name) => String(name).endsWith(".deb")).length;

test("a first lock resolves each step on what is below it, fetches the bytes, and dates the foundation", async () => {
  const events: string[] = [];
  const { lock: result, changes, resolved } = await lock(shop(["nginx", "curl"]), { report: (event) => events.push(event.type) });
  expect(names(result, "foundation/debian")).toBe("apt 2.6, base-files 12, libc6 2.36, usr-is-merged 1.0-1");
  expect(names(result, "base/apt")).toBe("curl 7.0, libcurl 7.0");
  expect(names(result, "base-app/apt")).toBe("nginx 1.22");
  expect(Object.keys(result.steps)).toEqual(["base-app/apt", "base/apt", "foundation/debian"]);
  expect(result.epochs).toEqual({ foundation: Date.UTC(2026, 0, day) / 1000 });
  expect(storedPackages()).toBe(7);
  expect([...resolved].sort()).toEqual(["base-app/apt", "base/apt", "foundation/debian"]);
  expect(new Set(events)).toEqual(new Set(["step-progress", "packages-fetching", "packages-progress"]));
  expect(formatLockChanges(changes)).toContain("  + nginx 1.22");
  expect(parseLock(serialiseLock(result), { file: "bakehouse.lock", hash: hasher().digestOf })).toEqual(result);
});

test("a second lock is the same, and needs neither apt nor a mirror", async () => {
  const { lock: previous } = await lock(shop(["nginx"]));
  rmSync(join(folder, "debian"), { recursive: true });
  rmSync(join(folder, "store", "apt"), { recursive: true });
  const again = await lock(shop(["nginx"]), { previous });
  expect(again.resolved).toEqual([]);
  expect(serialiseLock(again.lock)).toBe(serialiseLock(previous));
  expect(formatLockChanges(again.changes)).toEqual([]);
});

test("one more package: only that step and those above are resolved, and versions stay although the mirror moved on", async () => {
  const { lock: previous } = await lock(shop(["nginx"]));
  debian([
    ...BASE.filter(({ name }) => name !== "libc6"),
    deb("libc6", "2.37"),
    deb("curl", "8.0", { Depends: "libcurl" }),
    deb("libcurl", "8.0"),
    deb("nginx", "1.24"),
    deb("jq", "1.7", { Depends: "oniguruma" }),
    deb("oniguruma"),
  ]);
  const { lock: result, changes, resolved } = await lock(shop(["nginx", "oniguruma", "jq"]), { previous });
  expect(resolved).toEqual(["base-app/apt"]);
  expect(names(result, "base-app/apt")).toBe("jq 1.7, nginx 1.22, oniguruma 1.0-1");
  expect(result.steps["base/apt"]).toEqual(previous.steps["base/apt"]);
  expect(result.epochs).toEqual(previous.epochs);
  expect(formatLockChanges(changes)).toEqual(["base-app/apt", "  + jq 1.7", "  + oniguruma 1.0-1"]);
});

test("update moves everything, or only what is named, and what stands on it", async () => {
  const { lock: previous } = await lock(shop(["nginx"], ["curl", "jq"]));
  debian([
    ...BASE,
    deb("base-files", "12.1", { Essential: "yes", Priority: "required", Depends: "libc6" }),
    deb("curl", "8.0", { Depends: "libcurl" }),
    deb("libcurl", "8.0"),
    deb("nginx", "1.24"),
    deb("jq", "1.7"),
  ]);
  const some = await lock(shop(["nginx"], ["curl", "jq"]), { previous, update: ["jq"] });
  expect(formatLockChanges(some.changes)).toEqual(["base/apt", "  ↑ jq 1.6 → 1.7"]);
  expect(some.lock.epochs).toEqual(previous.epochs);
  const step = await lock(shop(["nginx"], ["curl", "jq"]), { previous, update: ["base-app/apt"] });
  expect(formatLockChanges(step.changes)).toEqual(["base-app/apt", "  ↑ nginx 1.22 → 1.24"]);
  const all = await lock(shop(["nginx"], ["curl", "jq"]), { previous: some.lock, update: true });
  expect(formatLockChanges(all.changes)).toEqual([
    "base-app/apt",
    "  ↑ nginx 1.22 → 1.24",
    "base/apt",
    "  ↑ curl 7.0 → 8.0",
    "  ↑ libcurl 7.0 → 8.0",
    "foundation/debian",
    "  ↑ base-files 12 → 12.1",
    expect.stringMatching(/^foundation: dated 2026-01-\d\d → 2026-01-\d\d$/),
  ]);
  const error = await refusal(lock(shop(["nginx"]), { previous, update: ["ngnix", "curl"] }));
  expect([error.code, error.message]).toEqual(["PACKAGE_NOT_FOUND", "ngnix is not locked: did you mean nginx?"]);
});

test("lists on disk that name what mirrors no longer have are refreshed", async () => {
  await lock(shop(["nginx"]));
  debian([...START.filter(({ name }) => name !== "jq"), deb("jq", "1.8")]);
  const { lock: result } = await lock(shop(["nginx", "jq"]), { packageStore: localPackageStore(join(folder, "store", "packages")) });
  expect(names(result, "base-app/apt")).toBe("jq 1.8, nginx 1.22");
});

test("on another machine the layers below are fetched first, and resolved on although mirrors have moved their lists on", async () => {
  const { lock: previous } = await lock(shop(["nginx"]));
  rmSync(join(folder, "store"), { recursive: true });
  // Only the lists forget: a mirror's pool keeps a version for a while.
  writeRepository(join(folder, "debian"), {
    suite: "bookworm",
    key,
    packages: [...BASE.slice(0, 1), deb("libc6", "2.40"), ...BASE.slice(2), ...START.slice(4)],
    date: new Date(Date.UTC(2026, 0, ++day)),
  });
  const { lock: result } = await lock(shop(["nginx", "jq"]), { previous });
  expect(names(result, "base-app/apt")).toBe("jq 1.6, nginx 1.22");
  expect(result.steps["foundation/debian"]).toEqual(previous.steps["foundation/debian"]);
  expect(storedPackages()).toBe(8);
  rmSync(join(folder, "store"), { recursive: true });
  unlinkSync(join(folder, "debian", "pool/main/libc6/libc6_2.36_amd64.deb"));
  const gone = await refusal(lock(shop(["nginx", "jq"]), { previous: result }));
  expect([gone.code, gone.help.hint]).toEqual(["MIRROR_UNAVAILABLE", expect.stringContaining("bakehouse lock --update")]);
  expect(gone.message).toContain("libc6 2.36");
});

test("mistakes of several steps are told together, with their steps; what stands on them is not blamed", async () => {
  const error = await refusal(lock(shop(["ngnix"], ["crul"])));
  expect(error.code).toBe("PACKAGE_NOT_FOUND");
  expect(error.message).toBe("base/apt: crul is in no repository: did you mean curl?");
  const siblings: TestLayers = {
    ...shop(["nginx"]),
    left: { from: { layer: "base" }, steps: [apt("ngnix")] },
    right: { from: { layer: "base" }, steps: [apt("jqq")] },
  };
  expect((await refusal(lock(siblings))).message.split("\n").sort()).toEqual([
    "left/apt: ngnix is in no repository: did you mean nginx?",
    "right/apt: jqq is in no repository: did you mean jq?",
  ]);
});

test("lent tools are resolved on top of the step's own packages and are not there for the steps above", async () => {
  const lending: TestStep = {
    name: "ansible",
    requirements: { packages: { names: ["jq"], recommends: false }, lent: { names: ["curl", "jq"], recommends: false } },
  };
  const layers: TestLayers = { foundation: { steps: [debianStep, lending, apt("curl")] } };
  const { lock: result } = await lock(layers);
  expect(result.steps["foundation/ansible"]?.lent?.map(({ name }) => name)).toEqual(["curl", "libcurl"]);
  expect(names(result, "foundation/apt")).toBe("curl 7.0, libcurl 7.0");
});

test("own repositories and local files enter the request; a foundation does not care", async () => {
  writeRepository(join(folder, "ours"), { suite: "stable", key, packages: [deb("own")] });
  writeFileSync(join(folder, "recipe", "key.asc"), key.armoured);
  buildDeb(join(folder, "recipe"), deb("local", "1.0", { Depends: "own" }));
  const local: TestStep = { name: "deb", requirements: { packages: { names: [], recommends: false, files: ["local_1.0_amd64.deb"] } } };
  const layers: TestLayers = { foundation: { steps: [debianStep, local] } };
  const ours: AptRepository = { name: "ours", url: "file:../ours", suites: ["stable"], components: ["main"], keyFile: "key.asc" };
  const { lock: previous } = await lock(layers, {}, [ours]);
  expect(names(previous, "foundation/deb")).toBe("local 1.0, own 1.0-1");
  const check = (repositories: readonly AptRepository[]): readonly string[] =>
    checkLock({ ...recipeOf(layers, repositories), lock: previous, hasher: hasher() }).map(({ address, kind }) => `${address} ${kind}`);
  expect(check([ours])).toEqual([]);
  expect(check([{ ...ours, priority: 900 }])).toEqual(["foundation/deb stale"]);
  expect(check([])).toEqual(["foundation/deb stale"]);
  writeFileSync(join(folder, "recipe", "key.asc"), `\n${key.armoured}`);
  expect(check([ours])).toEqual(["foundation/deb stale"]);
  buildDeb(join(folder, "recipe"), deb("local", "1.0", { Depends: "own", Section: "misc" }));
  expect((await lock(layers, { previous }, [ours])).changes.steps[0]?.packages).toEqual([
    { kind: "rebuilt", name: "local", before: "1.0", after: "1.0" },
  ]);
});

test("a check says what is missing or stale, and why", async () => {
  const { lock: previous } = await lock(shop(["nginx"]));
  const check = (layers: TestLayers, held: Lock | undefined = previous): readonly string[] =>
    checkLock({ ...recipeOf(layers), lock: held, hasher: hasher() }).map(({ address, kind, reason }) => `${kind}: ${address} ${reason}`);
  expect(check(shop(["nginx"]))).toEqual([]);
  expect(check(shop(["nginx", "jq", "curl=9"]))).toEqual(["stale: base-app/apt asks for jq, curl=9, which is not locked"]);
  expect(check(shop(["nginx"], ["curl", "jq"]))).toEqual([
    "stale: base/apt asks for jq, which is not locked",
    "stale: base-app/apt stands on base/apt, which changed",
  ]);
  expect(check(shop(["nginx"], ["libcurl"]))[0]).toContain("asks for other packages");
  const trixie: TestStep = {
    name: "debian",
    requirements: { packages: { names: [], recommends: false, foundation: { ...foundation, suite: "trixie" } } },
  };
  expect(check(shop(["nginx"], ["curl"], trixie))).toHaveLength(3);
  const mirrored: TestStep = {
    name: "debian",
    requirements: { packages: { names: [], recommends: false, foundation: { ...foundation, mirror: "http://another.invalid/debian" } } },
  };
  expect(check(shop(["nginx"], ["curl"], mirrored))).toEqual([]);
  const { foundation: lowest } = shop([]);
  expect(check({ foundation: lowest ?? { steps: [] } })).toEqual([
    "unneeded: base-app/apt is locked, but the recipe does not need it",
    "unneeded: base/apt is locked, but the recipe does not need it",
  ]);
  const require = (layers: TestLayers, held: Lock | undefined): BakehouseError | undefined => {
    try {
      requireFreshLock({ ...recipeOf(layers), lock: held, hasher: hasher(), lockFile: "bakehouse.lock" });
      return undefined;
    } catch (error) {
      return error as BakehouseError;
    }
  };
  expect(require(shop(["nginx"]), previous)).toBeUndefined();
  expect(require({ only: { steps: [] } }, undefined)).toBeUndefined();
  const [missing, stale] = [require(shop(["nginx"]), undefined), require(shop(["jq"]), previous)];
  expect([missing?.code, stale?.code]).toEqual(["LOCK_MISSING", "LOCK_STALE"]);
  expect(stale?.message).toBe("bakehouse.lock no longer fits the recipe:\n  base-app/apt asks for jq, which is not locked");
  expect(stale?.help.hint).toContain("--update-lock");
});

test("images that a recipe stands on are locked until they are moved, or the recipe names another", async () => {
  const digest = (char: string): `sha256:${string}` => `sha256:${char.repeat(64)}`;
  let now = digest("a");
  const layers = (parent: string, reference: string): TestLayers => ({
    base: { from: { image: parent }, steps: [apt("jq")] },
    other: { steps: [{ name: "oci", requirements: { image: reference } }] },
  });
  const images = {
    resolveImage: () => now,
    ociSource: { resolve: () => Promise.resolve(now) },
    baseSystem: () =>
      Promise.resolve({ status: "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36\n", foundation }),
  };
  const first = await lock(layers("golden", "oci:x"), images);
  expect(first.lock.parents).toEqual({ base: digest("a") });
  expect(first.lock.steps["other/oci"]?.image).toEqual({ reference: "oci:x", digest: digest("a") });
  expect(names(first.lock, "base/apt")).toBe("jq 1.6");
  now = digest("b");
  const previous = first.lock;
  expect((await lock(layers("golden", "oci:x"), { ...images, previous })).lock).toEqual(previous);
  const other = await lock(layers("silver", "oci:y"), { ...images, previous });
  expect([other.lock.parents, other.lock.steps["other/oci"]?.image?.digest]).toEqual([{ base: digest("b") }, digest("b")]);
  expect((await lock(layers("golden", "oci:x"), { ...images, previous, update: true })).lock.parents).toEqual({ base: digest("b") });
  expect(checkLock({ ...recipeOf(layers("silver", "oci:x")), lock: previous, hasher: hasher() }).map(({ reason }) => reason)[0]).toBe(
    "stands on the image silver; golden is locked",
  );
  expect((await lock({ base: { from: { image: digest("c") }, steps: [] } })).lock.parents).toEqual({ base: digest("c") });
});

test("recorded steps run once, after all packages are there", async () => {
  const recorded: TestStep = { name: "pip", requirements: {}, network: "recorded" };
  const layers: TestLayers = { foundation: { steps: [debianStep] }, base: { from: { layer: "foundation" }, steps: [recorded, apt("jq")] } };
  const seen: string[] = [];
  const recorder: NonNullable<LockOptions["recorder"]> = {
    record: (bound, held) => {
      seen.push(`${bound.step.address} with ${Object.keys(held.steps).length}`);
      return Promise.resolve([
        { method: "GET", url: "https://pypi.invalid/x", status: 200, headers: {}, sha256: `sha256:${"1".repeat(64)}`, sizeBytes: 3 },
      ]);
    },
  };
  const { lock: previous } = await lock(layers, { recorder });
  expect(previous.steps["base/pip"]?.recorded).toHaveLength(1);
  expect((await lock(layers, { recorder, previous })).lock).toEqual(previous);
  expect(seen).toEqual(["base/pip with 3"]);
  await lock(layers, { recorder, previous, update: true });
  expect(seen).toHaveLength(2);
  await lock(layers, { recorder, previous, update: ["base/pip"] });
  expect(seen).toHaveLength(3);
});

test("stopping is CANCELLED, and what a mirror lacks is told", async () => {
  expect((await refusal(lock(shop(["nginx"]), { signal: AbortSignal.abort() }))).code).toBe("CANCELLED");
  rmSync(join(folder, "debian", "pool/main/nginx"), { recursive: true });
  const error = await refusal(lock(shop(["nginx"])));
  expect([error.code, error.message]).toEqual(["MIRROR_UNAVAILABLE", expect.stringContaining("No mirror has nginx 1.22 any more")]);
});
