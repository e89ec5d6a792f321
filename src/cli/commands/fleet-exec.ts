import { spawn } from "node:child_process";
import { FLEET_ARGUMENT, RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "fleet exec",
  summary: "Run a program in an instance of a fleet",
  description: `With this terminal; its exit code is passed on. What is changed so is gone with the next release.`,
  arguments: {
    fleet: { ...FLEET_ARGUMENT, required: true, summary: "Name of a fleet" },
    instance: { summary: "An instance or a slot", completes: "none" },
    command: { many: true, summary: "The program and its arguments", completes: "none" },
  },
  options: { recipe: RECIPE_OPTION },
  examples: [{ line: "fleet exec web web-3 -- systemctl status nginx", does: "Ask systemd of one instance" }],
  run: async ({ args, options, ...context }) => {
    const { findInstances } = await import("../../engine/find-instances.ts");
    return withFleets(context, options.recipe, async (parts) => {
      const { provider, instances } = await findInstances(parts, args.fleet, args.instance);
      const [program = "", ...words] = await provider.commandLine(instances[0] ?? "", args.command);
      const child = spawn(program, words, { stdio: "inherit", cwd: "/" });
      const code = await new Promise<number>((resolve, reject) => {
        child.once("error", reject);
        child.once("exit", (exit, signal) => resolve(exit ?? (signal === null ? 1 : 130)));
      });
      return { instance: instances[0] ?? "", code };
    });
  },
  render: () => "",
  exitCode: ({ code }) => code,
});
