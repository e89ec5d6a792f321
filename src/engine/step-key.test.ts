import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sealLock } from "../core/lock/lock-file.ts";
import type { Lock } from "../core/lock/model.ts";
import { parseRecipe, requireRecipe } from "../core/recipe/parse-recipe.ts";
import type { Sha256 } from "../core/digest.ts";
import type { FileRequest } from "../core/step.ts";
import { steps } from "../steps/registry.ts";
import { bindSteps } from "./bound-recipe.ts";
import { chainAfter, hashOnce, stepFacts, stepKey, type KeyHasher } from "./step-key.ts";

const digestOf = (text: string): Sha256 => `sha256:${createHash("sha256").update(text).digest("hex")}`;
const hasherOf = (content: string): KeyHasher => ({
  toolVersion: () => "2.14",
  hash: (_folder, requests) => ({
    digest: digestOf(JSON.stringify([requests, content])),
    entries: [{ path: "app/a", kind: "file", sha256: digestOf(content) }],
  }),
});

interface Given {
  readonly mirror: string;
  readonly packages: readonly string[];
  readonly recommends: boolean;
  readonly version: string;
  readonly mode: string;
  readonly script: string;
  readonly content: string;
  readonly locked: string;
  readonly epoch: number;
}

const given: fc.Arbitrary<Given> = fc.record({
  mirror: fc.constantFrom("http://one.example/debian", "http://two.example/debian"),
  packages: fc.uniqueArray(fc.constantFrom("curl", "jq", "nginx", "vim"), { minLength: 1 }),
  recommends: fc.boolean(),
  version: fc.constantFrom("1.0", "2.0"),
  mode: fc.constantFrom("0644", "0600"),
  script: fc.constantFrom("true", "echo {{version}}"),
  content: fc.constantFrom("x", "y"),
  locked: fc.constantFrom("1.2-1", "1.2-2"),
  epoch: fc.constantFrom(1, 2),
});

/** The keys of a recipe's steps, all on one parent, by address. */
function keysOf(facts: Given): Readonly<Record<string, Sha256>> {
  const text = `name: keyed
parameters: { version: { type: string, default: "${facts.version}" } }
layers:
  os: { steps: [ { debian: { suite: bookworm, mirror: "${facts.mirror}" } } ] }
  app:
    from: os
    steps:
      - apt: { packages: [${facts.packages.join(", ")}], recommends: ${facts.recommends} }
      - run: ${JSON.stringify(facts.script)}
      - copy: { from: app, to: /srv/app, fileMode: "${facts.mode}" }
`;
  const recipe = requireRecipe(parseRecipe({ text, file: "/r/bakehouse.yaml", folder: "/r", steps }));
  const lock: Lock = sealLock(
    {
      architecture: "amd64",
      epochs: {},
      parents: {},
      steps: {
        "app/apt": {
          request: digestOf("r"),
          packages: [
            {
              name: "curl",
              version: facts.locked,
              architecture: "amd64",
              sha256: digestOf(facts.locked),
              sizeBytes: 1,
              path: "pool/c",
              repository: "debian",
            },
          ],
        },
      },
    },
    digestOf,
  );
  const hasher = hasherOf(facts.content);
  return Object.fromEntries(
    bindSteps(recipe, steps).map((bound) => [
      bound.step.address,
      stepKey(stepFacts(bound, recipe, lock, facts.epoch, hasher).inputs, "scratch", { ...hasher, digestOf } as never),
    ]),
  );
}

/** What each step's result depends on. */
const MATTERS: Readonly<Record<string, readonly (keyof Given)[]>> = {
  "os/debian": ["epoch"],
  "app/apt": ["packages", "recommends", "locked", "epoch"],
  "app/run": ["script", "epoch"],
  "app/copy": ["mode", "content", "epoch"],
};

describe("cache keys", () => {
  it("are equal when everything that matters to the step is, and other when anything of it changed", () => {
    fc.assert(
      fc.property(given, given, (a, b) => {
        const before = keysOf(a);
        const after = keysOf(b);
        for (const [address, names] of Object.entries(MATTERS)) {
          const substituted = address === "app/run" && a.script.includes("{{") && b.script.includes("{{") ? (["version"] as const) : [];
          const same = [...names, ...substituted].every((name) => JSON.stringify(a[name]) === JSON.stringify(b[name]));
          expect(before[address] === after[address], address).toBe(same);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("differ with the parent, and chains with the order of the diffs", () => {
    const hasher = { digestOf } as never;
    const [one, two] = [digestOf("1"), digestOf("2")];
    expect(stepKey({ step: "run@1" }, one, hasher)).not.toBe(stepKey({ step: "run@1" }, two, hasher));
    expect(chainAfter(chainAfter("scratch", one, hasher), two, hasher)).not.toBe(
      chainAfter(chainAfter("scratch", two, hasher), one, hasher),
    );
  });

  it("look at each tree once for one plan", () => {
    let looks = 0;
    const hasher = hashOnce({
      ...hasherOf("x"),
      hash: (folder: string, requests: readonly FileRequest[]) => (looks++, hasherOf("x").hash(folder, requests)),
    });
    hasher.hash("/r", [{ path: "app" }]);
    hasher.hash("/r", [{ path: "app" }]);
    hasher.hash("/r", [{ path: "other" }]);
    expect(looks).toBe(2);
  });
});
