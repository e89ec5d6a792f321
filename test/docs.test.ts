import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import ts from "typescript";
import { beforeAll, describe, expect, it } from "vitest";
import { flagOf, type AnyCommand, type OptionDefinition } from "../src/cli/command.ts";
import { GLOBAL_OPTIONS } from "../src/cli/program.ts";
import { COMMANDS } from "../src/cli/registry.ts";
import { formatProblem } from "../src/core/errors.ts";
import { readGates } from "../src/core/recipe/gates-section.ts";
import { Inspection } from "../src/core/recipe/inspect.ts";
import { parseRecipe } from "../src/core/recipe/parse-recipe.ts";
import { readYaml } from "../src/core/recipe/read-yaml.ts";
import { checks } from "../src/checks/registry.ts";
import { steps } from "../src/steps/registry.ts";

const root = resolve(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const filesBelow = (folder: string, ending: string): readonly string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(ending) && !path.includes("node_modules"))
    .map((path) => join(folder, path))
    .sort();

/** Everything that people read, generated pages included. */
const PAGES = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...filesBelow("docs", ".md"),
  ...filesBelow("examples", "README.md"),
];

interface Snippet {
  readonly file: string;
  readonly line: number;
  readonly language: string;
  readonly text: string;
}
const place = ({ file, line }: Pick<Snippet, "file" | "line">): string => `${file}:${line}`;

const snippetsOf = (file: string): readonly Snippet[] => {
  const text = read(file);
  return [...text.matchAll(/^( *)```(\w*)\n(.*?)^ *```$/gms)].map((match) => ({
    file,
    line: text.slice(0, match.index).split("\n").length,
    language: match[2] ?? "",
    text: (match[3] ?? "").replaceAll(new RegExp(`^${match[1] ?? ""}`, "gm"), ""),
  }));
};
const SNIPPETS = PAGES.flatMap(snippetsOf);
const withoutSnippets = (text: string): string => text.replaceAll(/^( *)```.*?^ *```$/gms, (block) => block.replaceAll(/[^\n]/g, ""));

describe("links", () => {
  /** As GitHub names headings. */
  const anchor = (heading: string): string =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(/\s/g, "-");
  const anchorsOf = (file: string): ReadonlySet<string> =>
    new Set([...withoutSnippets(readFileSync(file, "utf8")).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => anchor(heading)));

  it.each(PAGES)("of %s lead somewhere", (file) => {
    const targets = [...withoutSnippets(read(file)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
    const broken = targets
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => {
        const [path = "", name] = target.split("#");
        const full = path === "" ? join(root, file) : resolve(root, dirname(file), decodeURIComponent(path));
        if (!existsSync(full)) return true;
        return name !== undefined && !anchorsOf(full).has(name);
      });
    expect(broken).toEqual([]);
  });

  it.each(["docs/README.md", "docs/decisions/README.md"])("%s names every page beside or below it", (index) => {
    const folder = dirname(index);
    const named = new Set([...read(index).matchAll(/\]\(([^)#\s]+)/g)].map(([, target = ""]) => join(folder, target)));
    // The table of contents leads to the decisions' own.
    const pages = filesBelow(folder, ".md").filter(
      (page) => page !== index && (index !== "docs/README.md" || !/^docs\/decisions\/\d/.test(page)),
    );
    expect(pages.filter((page) => !named.has(page))).toEqual([]);
  });
});

describe("recipes", () => {
  const problemsIn = (text: string): readonly string[] =>
    parseRecipe({ text, file: "/docs/bakehouse.yaml", folder: "/docs", shownAs: "snippet", steps, checks }).problems.map(formatProblem);
  const yaml = SNIPPETS.filter(({ language }) => language === "yaml");
  const recipes = yaml.filter(({ text }) => /^name:/m.test(text) && /^layers:/m.test(text));
  const lists = yaml.filter(({ file, text }) => text.startsWith("- ") && !file.startsWith("docs/reference/"));

  it.each(recipes.map((snippet) => [place(snippet), snippet.text] as const))("%s is right", (_place, text) => {
    expect(problemsIn(text)).toEqual([]);
  });

  it.each(lists.map((snippet) => [place(snippet), snippet.text] as const))("%s holds right steps", (_place, text) => {
    expect(problemsIn(`name: a\nlayers:\n  b:\n    from: image:c\n    steps:\n${text.replaceAll(/^(?=.)/gm, "      ")}`)).toEqual([]);
  });

  const gates = yaml.filter(({ text }) => text.startsWith("gates:"));
  it.each(gates.map((snippet) => [place(snippet), snippet.text] as const))("%s holds right gates", (_place, text) => {
    const source = readYaml(text, "snippet");
    const inspection = new Inspection(source, "snippet");
    const read = readGates(inspection, (source.value as { gates: unknown }).gates, ["gates"], { secrets: ["metrics-token"] });
    expect([...source.problems, ...inspection.problems].map(formatProblem)).toEqual([]);
    expect(read.length).toBeGreaterThan(0);
  });

  it("has right steps in code spans, too", () => {
    const STEP = new RegExp(`^(?:- )?((?:${[...steps.keys()].join("|")}): .+)$`);
    const spans = PAGES.filter((file) => !file.startsWith("docs/reference/")).flatMap((file) =>
      [...withoutSnippets(read(file)).matchAll(/`([^`\n]+)`/g)].flatMap(([, span = ""]) => {
        const [, step] = STEP.exec(span) ?? [];
        return step === undefined || step.includes("…") ? [] : [{ file, step }];
      }),
    );
    const wrong = spans.flatMap(({ file, step }) =>
      problemsIn(`name: a\nlayers:\n  b:\n    ${step.startsWith("debian:") ? "" : "from: image:c\n    "}steps:\n      - ${step}\n`).map(
        (problem) => `${file}: ${step}: ${problem}`,
      ),
    );
    expect(wrong).toEqual([]);
    expect(spans.length).toBeGreaterThanOrEqual(3);
  });

  it("are in the docs", () => {
    expect(recipes.length).toBeGreaterThanOrEqual(10);
    expect(lists.length).toBeGreaterThanOrEqual(1);
  });
});

describe("command lines", () => {
  const commands = new Map<string, AnyCommand>();
  beforeAll(async () => {
    for (const row of COMMANDS) commands.set(row.name, (await row.load()).command);
  });

  interface Line {
    readonly place: string;
    readonly words: readonly string[];
  }

  /** What follows `bakehouse` in a shell line or a code span, up to a pipe, a comment or the end. */
  const wordsAfter = (text: string): readonly string[] => {
    const [line = ""] = text.split(/\s[|;&>#]|\s{3,}|\)$/);
    return line
      .trim()
      .split(/\s+/)
      .filter((word) => word !== "");
  };
  const CALL = /(?:^|[\s"(=])(?:\.\/)?bakehouse (?=[a-z-])/g;
  const callsIn = (text: string): readonly string[] => [...text.matchAll(CALL)].map((match) => text.slice(match.index + match[0].length));

  /** Lines of shell snippets, and code spans; what a program prints is not a command line, but its hints are. */
  const linesOf = (file: string): readonly Line[] => {
    const shell = snippetsOf(file).filter(({ language }) => language === "sh" || language === "console");
    const typed = shell.flatMap((snippet) =>
      snippet.text.split("\n").flatMap((text, index) => {
        const isOutput = snippet.language === "console" && !text.startsWith("$ ");
        return isOutput ? [] : callsIn(text).map((rest) => ({ place: `${file}:${snippet.line + index + 1}`, words: wordsAfter(rest) }));
      }),
    );
    const spans = withoutSnippets(read(file))
      .split("\n")
      .flatMap((text, index) =>
        [...text.matchAll(/`([^`]+)`/g)].flatMap(([, span = ""]) =>
          callsIn(span).map((rest) => ({ place: `${file}:${index + 1}`, words: wordsAfter(rest) })),
        ),
      );
    return [...typed, ...spans];
  };

  const GLOBAL_FLAGS = new Map([
    ...GLOBAL_OPTIONS.flatMap(({ flags }) => flags.split(", ").map((flag) => [flag.replace(/ .*/, ""), flag.includes("<")] as const)),
    ...["-h", "--help", "-V", "--version"].map((flag) => [flag, false] as const),
  ]);

  /** What is wrong with one line, or nothing. */
  const mistakeIn = (words: readonly string[]): string | undefined => {
    const at = words.findIndex((word) => !word.startsWith("-"));
    const [first = "", second = ""] = at < 0 ? [] : words.slice(at);
    if (first === "") return words.every((word) => GLOBAL_FLAGS.has(word)) ? undefined : `no such option: ${words.join(" ")}`;
    const name = [`${first} ${second}`, first].find((candidate) => commands.has(candidate));
    const isGroup = COMMANDS.some((row) => row.name.startsWith(`${first} `));
    if (name === undefined) return isGroup && second === "" ? undefined : `no command ${first}${isGroup ? ` ${second}` : ""}`;
    return optionMistake(name, commands.get(name), words);
  };

  const optionMistake = (name: string, command: AnyCommand | undefined, words: readonly string[]): string | undefined => {
    const known = new Map<string, OptionDefinition | undefined>([...GLOBAL_FLAGS.keys()].map((flag) => [flag, undefined]));
    if (command?.reports === true) known.set("--events", undefined);
    for (const [key, option] of Object.entries(command?.options ?? {})) {
      known.set(flagOf(key), option);
      if (option.short !== undefined) known.set(`-${option.short}`, option);
    }
    const own = words.includes("--") ? words.slice(0, words.indexOf("--")) : words;
    for (const [index, word] of own.entries()) {
      if (!/^--?[a-z]/i.test(word)) continue;
      const flag = word.replace(/[=,.].*$/, "");
      if (!known.has(flag)) return `${name} has no option ${flag}`;
      const { choices, value } = known.get(flag) ?? {};
      const given = own[index + 1] ?? "";
      if (choices !== undefined && value !== undefined && /^[a-z]+$/.test(given) && !choices.includes(given))
        return `${name} ${flag} takes no ${given}`;
    }
    return undefined;
  };

  it.each(PAGES)("of %s are right", (file) => {
    const mistakes = linesOf(file).flatMap(({ place: where, words }) => {
      const mistake = mistakeIn(words);
      return mistake === undefined ? [] : [`${where}: ${mistake} (bakehouse ${words.join(" ")})`];
    });
    expect(mistakes).toEqual([]);
  });

  it("in hints of the source name options that there are", () => {
    const sources = filesBelow("src", ".ts").filter((file) => !/\.(test|testing)\.ts$/.test(file));
    const mistakes = sources.flatMap((file) =>
      [...read(file).matchAll(/bakehouse ((?:[a-z-]+ )?[a-z-]+(?: (?:--[a-z-]+|[A-Z]+))*(?: --[a-z-]+))/g)].flatMap(([, line = ""]) => {
        const mistake = mistakeIn(line.split(" "));
        return mistake === undefined ? [] : [`${file}: ${mistake}`];
      }),
    );
    expect(mistakes).toEqual([]);
  });

  it("finds what is wrong", () => {
    expect(mistakeIn(["bake", "--kep-on-failure"])).toBe("bake has no option --kep-on-failure");
    expect(mistakeIn(["image", "shw"])).toBe("no command image shw");
    expect(mistakeIn(["frobnicate"])).toBe("no command frobnicate");
    expect(mistakeIn(["export", "hello", "--format", "zip"])).toBe("export --format takes no zip");
    expect(mistakeIn(["shell", "hello", "--", "ls", "--color"])).toBeUndefined();
    expect(linesOf("docs/guide/images.md").length).toBeGreaterThan(10);
  });
});

const LIBRARY = join(root, "src/index.ts");

describe("TypeScript", () => {
  const snippets = SNIPPETS.filter(({ language }) => language === "ts");
  /** Where a snippet's imports are right: a user's file, or a step of ours. */
  const folderOf = ({ text }: Snippet): string => (text.includes('from "../core/') ? "src/steps" : "docs");

  it("snippets compile", () => {
    const files = new Map(
      snippets.map(
        (snippet) => [join(root, folderOf(snippet), `snippet-${snippet.file.replaceAll(/\W/g, "-")}-${snippet.line}.ts`), snippet] as const,
      ),
    );
    const { config } = ts.readConfigFile(join(root, "tsconfig.json"), (path) => readFileSync(path, "utf8")) as {
      config: { compilerOptions: object };
    };
    const { options } = ts.convertCompilerOptionsFromJson(
      { ...config.compilerOptions, noEmit: true, skipLibCheck: true, noUnusedLocals: false, paths: { bakehouse: [LIBRARY] } },
      root,
    );
    const host = ts.createCompilerHost(options);
    const { fileExists, readFile, getSourceFile } = host;
    host.fileExists = (path) => files.has(path) || fileExists.call(host, path);
    host.readFile = (path) => files.get(path)?.text ?? readFile.call(host, path);
    host.getSourceFile = (path, languageVersion, ...rest) => {
      const snippet = files.get(path);
      return snippet === undefined
        ? getSourceFile.call(host, path, languageVersion, ...rest)
        : ts.createSourceFile(path, `${snippet.text}\nexport {};\n`, languageVersion);
    };
    const program = ts.createProgram([...files.keys()], options, host);
    const problems = [...files].flatMap(([path, snippet]) => {
      const source = program.getSourceFile(path);
      return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map((problem) => {
        const line = source === undefined || problem.start === undefined ? 0 : source.getLineAndCharacterOfPosition(problem.start).line;
        return `${relative(root, snippet.file)}:${snippet.line + 1 + line}: ${ts.flattenDiagnosticMessageText(problem.messageText, "\n")}`;
      });
    });
    expect(problems).toEqual([]);
    expect(files.size).toBeGreaterThanOrEqual(2);
  });
});
