import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { COMMANDS } from "../registry.ts";
import { bashScript } from "./bash.ts";
import { fishScript } from "./fish.ts";
import { type CompletionModel, completionModel } from "./model.ts";
import { zshScript } from "./zsh.ts";

const option = { summary: "it's: [an] option", takesValue: false, choices: [], completes: "none" } as const;
const model: CompletionModel = {
  globals: [{ ...option, flag: "--store", takesValue: true, completes: "directory" }],
  firstWords: [
    { word: "toast", summary: "Toast: it's hot" },
    { word: "bread", summary: "Commands about one bread" },
  ],
  commands: [
    {
      name: "toast",
      summary: "Toast: it's hot",
      options: [
        { ...option, flag: "--level", short: "-l", takesValue: true, choices: ["light", "dark"] },
        { ...option, flag: "--keep" },
      ],
      choices: ["rye", "oat"],
      completes: "none",
    },
    { name: "bread show", summary: "Show one", options: [], choices: [], completes: "none" },
    { name: "bread cut", summary: "Cut one", options: [{ ...option, flag: "--thick" }], choices: [], completes: "none" },
  ],
};

/** What a real bash offers for the last of these words. */
function bashOffers(line: string, script = bashScript(model)): readonly string[] {
  const words = line.split(" ");
  const program = `${script}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _bakehouse; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["--norc", "-c", program], { encoding: "utf8" })
    .trim()
    .split("\n")
    .filter((word) => word !== "");
}

describe("bash", () => {
  it.each([
    ["bakehouse ", ["toast", "bread", "help"]],
    ["bakehouse t", ["toast"]],
    ["bakehouse --st", ["--store"]],
    ["bakehouse bread ", ["show", "cut"]],
    ["bakehouse bread c", ["cut"]],
    ["bakehouse bread cut --t", ["--thick"]],
    ["bakehouse toast ", ["rye", "oat"]],
    ["bakehouse --store /s toast --k", ["--keep"]],
    ["bakehouse toast --level ", ["light", "dark"]],
    ["bakehouse toast -l d", ["dark"]],
    ["bakehouse toast --store /usr/loc", ["/usr/local"]],
    ["bakehouse nonsense ", []],
  ])("%s", (line, offered) => expect(bashOffers(line)).toEqual(offered));
});

it("zsh and fish know every command, option and choice", () => {
  const zsh = zshScript(model);
  const fish = fishScript(model);
  for (const word of ["toast", "show", "cut", "--level", "--keep", "--thick", "light dark"]) expect(zsh).toContain(word);
  for (const word of ["toast", "show", "cut", "-l level -s l", "-l keep", "-l thick", "light dark"]) expect(fish).toContain(word);
  expect(zsh).toContain(String.raw`it'\''s\: \[an\] option`);
  expect(fish).toContain(String.raw`'it\'s: [an] option'`);
});

it("is made from the commands that there are", async () => {
  const real = await completionModel(COMMANDS);
  expect(real.commands.map(({ name }) => name)).toEqual(COMMANDS.map(({ name }) => name));
  expect(bashOffers("bakehouse completion ", bashScript(real))).toEqual(["bash", "zsh", "fish"]);
  expect(bashOffers("bakehouse doctor --for reg", bashScript(real))).toEqual(["registry"]);
});
