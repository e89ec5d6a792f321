import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { STEPS } from "../src/core/rollout/states.testing.ts";

const ARCHITECTURE = join(import.meta.dirname, "../docs/architecture.md");

test("the steps of a rollout are drawn as they are", () => {
  const text = readFileSync(ARCHITECTURE, "utf8");
  const drawn = [...text.matchAll(/^ ([a-z-]+) +──→ ([a-z-]+)  +\S/gm)].map(([, from, to]) => `${from ?? ""} ${to ?? ""}`);
  expect(drawn.sort()).toEqual(
    Object.entries(STEPS)
      .flatMap(([from, steps]) => steps.map((to) => `${from} ${to}`))
      .sort(),
  );
});
