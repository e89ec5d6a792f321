import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "completion",
  summary: "Print a script that completes commands and options in your shell",
  arguments: { shell: { summary: "Which shell", choices: ["bash", "zsh", "fish"] } },
  examples: [
    { line: "completion bash", does: 'For this shell: eval "$(bakehouse completion bash)"; in ~/.bashrc for all' },
    { line: "completion fish", does: "Into ~/.config/fish/completions/bakehouse.fish" },
  ],
  run: async ({ args, commands }) => {
    const { completionModel } = await import("../completion/model.ts");
    const model = await completionModel(commands);
    switch (args.shell) {
      case "bash":
        return { shell: args.shell, script: (await import("../completion/bash.ts")).bashScript(model) };
      case "zsh":
        return { shell: args.shell, script: (await import("../completion/zsh.ts")).zshScript(model) };
      case "fish":
        return { shell: args.shell, script: (await import("../completion/fish.ts")).fishScript(model) };
    }
  },
  printsDocument: true,
  render: ({ script }) => script,
});
