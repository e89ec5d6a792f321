import type { PlannedCheck } from "../../core/checks/declared-check.ts";
import { shortDigest } from "../../core/digest.ts";
import type { MissReason } from "../../core/events.ts";
import type { PlaybookCheck } from "../../engine/check-playbooks.ts";
import type { PlannedStep } from "../../engine/plan-bake.ts";
import { defineCommand } from "../command.ts";
import { parameterOverrides, RECIPE_ARGUMENT, RECIPE_OPTIONS, warn } from "../recipe/recipe-options.ts";
import { count, formatBytes } from "../text.ts";
import type { Terminal } from "../terminal.ts";

export const command = defineCommand({
  name: "plan",
  summary: "Show what would be baked, and why",
  description:
    "For every step: taken from the cache or not, and for each that is not, which of its inputs changed, with the old and the new value.",
  arguments: { recipe: RECIPE_ARGUMENT },
  options: {
    ...RECIPE_OPTIONS,
    layer: { value: "name", many: true, summary: "Plan only this layer and what it stands on" },
    from: { value: "step", many: true, summary: "As if `bake` was given the same" },
    noCache: { summary: "As if `bake` was given the same" },
    ansibleCheck: { summary: "Run the playbooks of steps that would be baked in check mode, and show what they would change" },
  },
  examples: [
    { line: "plan", does: "What a bake would do now" },
    { line: "plan --set version=2.0 --json", does: "The same as data, with another parameter" },
  ],
  run: async ({ args, options, global, terminal, folder, env, signal }) => {
    const { createBakehouse } = await import("../../presets/create-bakehouse.ts");
    const bakehouse = createBakehouse({ store: global.store, env, warn: (message) => terminal.err(`${message}\n`) });
    try {
      const loaded = bakehouse.load(args.recipe, { from: folder, parameters: parameterOverrides(options.set) });
      if (!global.json && !global.quiet) warn(loaded, terminal);
      const plan = bakehouse.plan(loaded, { layers: options.layer, from: options.from, noCache: options.noCache });
      const playbooks = options.ansibleCheck ? await bakehouse.checkPlaybooks(loaded, plan, { signal }) : [];
      return { ...plan, playbooks };
    } finally {
      await bakehouse.close();
    }
  },
  render: (plan, { terminal }) => {
    const { bold, dim, yellow, green } = terminal.colors;
    const layers = plan.layers.map((layer) => {
      const from = layer.from === undefined ? "" : dim(` from ${layer.from}`);
      const marks = [layer.release === "volume" ? dim(" (volume)") : "", layer.hermetic ? "" : yellow(" not hermetic")].join("");
      const checks = layer.checks.length === 0 ? [] : [checkLine(layer.checks, terminal)];
      return [`${bold(layer.name)}${from}${marks}`, ...layer.steps.flatMap((step) => stepLines(step, terminal)), ...checks].join("\n");
    });
    const launches = (plan.launches ?? []).map(
      (launch) =>
        `${bold(launch.name)}${dim(` at launch, on ${launch.root}`)}\n${launch.steps.map(({ address, summary }) => `  ${yellow("run ")} ${address} ${dim(summary)}`).join("\n")}`,
    );
    const playbooks = plan.playbooks.map((check) => playbookLines(check, terminal).join("\n"));
    const summary =
      plan.misses === 0
        ? green("Nothing to bake: every step has the same inputs as when it was baked.")
        : `${count(plan.misses, "step")} to bake, ${plan.hits} from the cache.`;
    return `${[...layers, ...launches, ...playbooks].join("\n")}\n${summary}\n`;
  },
});

/** Own checks by name, inherited ones by the layer that they come from. */
function checkLine(checks: readonly PlannedCheck[], { colors, columns }: Terminal): string {
  const { dim } = colors;
  const shown = checks.map(({ name, layer, inherited, replaces }) => {
    const from = inherited ? ` (${layer})` : "";
    return `${name}${from}${replaces === undefined ? "" : ` in place of ${replaces}`}`;
  });
  return wrap(shown, columns - 9)
    .map((line, index) => `  ${index === 0 ? "must pass " : "          "}${dim(line)}`)
    .join("\n");
}

function wrap(words: readonly string[], columns: number): readonly string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length + 2 > columns) lines.push(word);
    else lines[lines.length - 1] = `${last}, ${word}`;
  }
  return lines;
}

function stepLines(step: PlannedStep, terminal: Terminal): readonly string[] {
  const { dim, green, yellow } = terminal.colors;
  const name = step.address.slice(step.layer.length + 1);
  if (step.hit)
    return [
      `  ${green("hit ")} ${name} ${dim(`${step.diffId === undefined ? "" : shortDigest(step.diffId)} ${formatBytes(step.sizeBytes ?? 0)}`)}`,
    ];
  const reasons = step.reason === undefined ? [] : reasonLines(step.reason);
  return [`  ${yellow("bake")} ${name} ${dim(reasons[0] ?? "")}`, ...reasons.slice(1).map((line) => `         ${dim(line)}`)];
}

/** The first line says why, the others name each changed input. */
export function reasonLines(reason: MissReason): readonly string[] {
  switch (reason.kind) {
    case "never-baked":
      return ["never baked here"];
    case "parent-changed":
      return [`${reason.parent} below it is baked anew`];
    case "asked":
      return [`asked for by ${reason.by}`];
    case "gone":
      return [`${reason.what} is gone from the store`];
    case "inputs-changed":
      return [
        `${count(reason.changes.length, "input")} changed`,
        ...reason.changes.slice(0, 12).map((change) => `${change.input}: ${change.before} → ${change.after}`),
        ...(reason.changes.length > 12 ? [`and ${reason.changes.length - 12} more (--json shows all)`] : []),
      ];
  }
}

function playbookLines(check: PlaybookCheck, terminal: Terminal): readonly string[] {
  const { bold, dim, yellow } = terminal.colors;
  const stopped =
    check.stoppedBy === undefined
      ? []
      : [
          yellow("  check mode got no further (later tasks may need what earlier ones do):"),
          ...check.stoppedBy.split("\n").map((line) => `    ${line}`),
        ];
  return [
    `${bold(check.address)} would change ${count(check.changes.length, "task")}`,
    ...check.changes.map((change) => `  ${change.task} ${dim(change.place)}`),
    ...stopped,
  ];
}
