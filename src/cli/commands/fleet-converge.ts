import { FLEET_ARGUMENT, RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { fleetLines } from "../fleets/words.ts";
import { defineCommand } from "../command.ts";

/** A machine that boots takes a second; this is for a host with every processor busy. */
const TIMEOUT_S = 300;

export const command = defineCommand({
  name: "fleet converge",
  summary: "Bring a fleet to its size, and replace what died",
  description: `A fleet that runs nothing yet begins with the image that it follows; to another image it comes by \`rollout start\` only. An
instance that died is replaced by what the fleet is declared to run; one slot that is replaced three times in ten minutes is flapping, and
left to people until --retry. Ends when every slot has a healthy instance, or says what is left.`,
  arguments: { fleet: FLEET_ARGUMENT },
  options: {
    recipe: RECIPE_OPTION,
    image: {
      value: "image",
      summary: "What a fleet that runs nothing yet begins with; default the image that it follows",
      completes: "none",
    },
    retry: { summary: "Try again with slots that were flapping" },
    timeout: { value: "seconds", type: "count", default: TIMEOUT_S, summary: "How long to wait for health" },
  },
  examples: [
    { line: "fleet converge", does: "The only fleet of the recipe here" },
    { line: "fleet converge shop/web --retry", does: "Also what was flapping" },
  ],
  run: async ({ args, options, signal, ...context }) => {
    const { convergeFleet } = await import("../../engine/converge-fleet.ts");
    const { fleetStatus } = await import("../../engine/fleet-status.ts");
    const { terminal, global } = context;
    return withFleets(context, options.recipe, async (parts) => {
      const { turn, settled, newer } = await convergeFleet(parts, {
        ...(args.fleet === undefined ? {} : { fleet: args.fleet }),
        ...(options.image === undefined ? {} : { image: options.image }),
        retry: options.retry,
        timeoutMs: options.timeout * 1000,
        signal,
        onTurn: ({ remedies }) => {
          if (global.quiet) return;
          for (const remedy of remedies)
            terminal.err(`${remedy.kind} ${"slot" in remedy ? remedy.slot.slot : remedy.instance}: ${remedy.why}\n`);
        },
      });
      return { settled, left: turn.left, status: await fleetStatus(parts, turn.fleet), newer: newer ?? null };
    });
  },
  render: ({ status, left, settled }, { terminal }) => {
    const { red, yellow } = terminal.colors;
    const rest = left.map(({ slot, why }) => `    ${yellow(`${slot}: ${why}`)}\n`).join("");
    return `${fleetLines(status, terminal)}${rest}${settled ? "" : `${red("Not converged")}\n`}`;
  },
  exitCode: ({ settled }) => (settled ? 0 : 1),
});
