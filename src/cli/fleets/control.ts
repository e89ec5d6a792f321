import type { CommandOptions } from "../../engine/command-rollout.ts";
import { rolloutLines } from "./words.ts";
import type { Commanded } from "../../engine/command-rollout.ts";
import type { Terminal } from "../terminal.ts";
import type { RecipeContext } from "../recipe/recipe-at-hand.ts";
import { withFleets } from "./with-fleets.ts";

export const REASON_OPTION = { value: "text", summary: "Why; stands in the audit log", completes: "none" } as const;
export const AS_OPTION = { value: "person", summary: "In whose name; default you", completes: "none" } as const;

/** Gives a rollout a command. */
export async function control(
  context: RecipeContext & { readonly signal: AbortSignal },
  options: Omit<CommandOptions, "reason" | "as"> & { readonly reason?: string | undefined; readonly as?: string | undefined },
): Promise<Commanded> {
  const { commandRollout } = await import("../../engine/command-rollout.ts");
  const { reason, as, ...rest } = options;
  return withFleets(context, undefined, (parts) =>
    commandRollout(parts, { ...rest, ...(reason === undefined ? {} : { reason }), ...(as === undefined ? {} : { as }) }, context.signal),
  );
}

export const renderCommanded = ({ view, pending }: Commanded, { terminal }: { readonly terminal: Terminal }): string => {
  const written = pending.map(({ command, who }) => `${command} by ${who}`).join(", ");
  if (written === "" || view.over) return rolloutLines(view, terminal);
  const hint = terminal.colors.dim(`bakehouse rollout watch ${view.id} --carry`);
  return `${rolloutLines(view, terminal)}Written down, and done as soon as somebody carries the rollout on: ${written}\n${hint}\n`;
};
