import { describe, expect, it } from "vitest";
import { type BakehouseError, formatProblem } from "../errors.ts";
import { parseText } from "../../../test/fixture-steps.ts";
import { requireRecipe } from "./parse-recipe.ts";
import type { ParseRecipeRequest } from "./parse-recipe.ts";

/** What people are told about a text, as the terminal shows it. */
const told = (text: string, request: Partial<ParseRecipeRequest> = {}): readonly string[] =>
  parseText(text, request).problems.map((problem) => `${problem.severity === "warning" ? "warning: " : ""}${formatProblem(problem)}`);

const recipeOf = (text: string, request: Partial<ParseRecipeRequest> = {}) => requireRecipe(parseText(text, request));

const indent = (text: string, by: string): string => text.replace(/^/gm, by);
/** One layer with these steps; they start in line 6. */
const steps = (text: string): string => `name: shop\nlayers:\n  base:\n    from: image:debian\n    steps:\n${indent(text, "      ")}\n`;
/** A recipe that is right, and these keys at the top, from line 3. */
const top = (text: string): string => `name: shop\nlayers: { base: { from: image:debian, steps: [run: "true"] } }\n${text}\n`;
/** These layers, from line 3. */
const layers = (text: string): string => `name: shop\nlayers:\n${indent(text, "  ")}\n`;

/** What is wrong, the recipe, and every word that is said about it. */
const MISTAKES: readonly (readonly [what: string, text: string, told: readonly string[]])[] = [
  ["empty file", "", ["r:1:1: the recipe is empty (bakehouse init writes one)"]],
  ["only comments", "# nothing yet\n", ["r:1:1: the recipe is empty (bakehouse init writes one)"]],
  ["a list at the top", "- a\n- b\n", ["r:1:1: a recipe is a mapping with name and layers, this is a list"]],
  ["a text at the top", "hello\n", ['r:1:1: a recipe is a mapping with name and layers, this is "hello"']],
  [
    "too large",
    "x: " + "y".repeat(1 << 20),
    ["r: a recipe is at most 1 MiB (1048576 bytes), this has 1048579 bytes (put long contents into files beside it and copy them)"],
  ],
  ["not UTF-8", "name: caf\uFFFD\n", ["r:1:10: holds bytes that are not UTF-8"]],
  ["a NUL character", "name: shop\nx: a\0b\n", ["r:2:5: holds a NUL character: this is not a text file"]],
  ["a tab for indentation", "name: shop\nlayers:\n\tbase: {}\n", ["r:3:1: a tab is used for indentation (YAML is indented with spaces)"]],
  ["an open quote", 'name: "shop\nlayers: {}\n', ["r:1:7: the quote that opens here is never closed"]],
  ["an open bracket", "name: shop\nlayers: [a, b\n", ['r:3:1: the "[" above is not closed, or what follows it is not indented']],
  ["a colon in plain text", steps("- run: echo a: b"), ['r:6:14: a mapping cannot start here (a text that holds ": " needs quotes)']],
  [
    "bad indentation",
    "name: shop\nlayers:\n  base:\n    from: x\n   steps: []\n",
    ["r:5:1: the indentation does not fit: all mapping items must start at the same column"],
  ],
  [
    "two mistakes of syntax",
    'name: "a" b\nlayers:\n\tbase: {}\n',
    [
      "r:1:11: something follows a value that is already complete (put the whole text in quotes)",
      "r:3:1: a tab is used for indentation (YAML is indented with spaces)",
    ],
  ],
  ["two documents", top("---\nname: b"), ["r:3:1: a second document starts here (one recipe is one document: remove the `---`)"]],
  ["a tag", top("description: !secret x"), ['r:3:14: the tag "!secret" is not read (remove it)']],
  [
    "duplicate keys",
    top("description: a\ndescription: b"),
    ['r:4:1: the key "description" stands here twice (the first is in line 3; keep one)'],
  ],
  [
    "duplicate keys deep down, and another mistake",
    steps("- copy: { from: a, to: /b, from: c }\n- rnu: x"),
    [
      'r:6:34: layers.base.steps[0].copy: the key "from" stands here twice (the first is in line 6; keep one)',
      'r:7:9: layers.base.steps[1]: unknown step "rnu" (did you mean "run"?)',
    ],
  ],
  [
    "a mapping as key",
    top("description: {{version}}"),
    ['r:3:15: description: a mapping cannot be a key (a text that starts with "{{" needs quotes: "{{version}}")'],
  ],
  ["a list as key", top("? [a]\n: b"), ["r:3:3: a list cannot be a key"]],
  [
    "a merge key",
    layers("base: &b { from: image:debian, steps: [run: a] }\nnext: { <<: *b }"),
    ["r:4:11: layers.next: merge keys (<<) are not read (write the keys out, or use an alias for the whole value)"],
  ],
  ["__proto__", top("__proto__: { a: 1 }"), ['r:3:1: "__proto__" cannot be a key']],
  [
    "an unknown alias",
    layers("base: &base { from: image:debian, steps: [run: a] }\nnext: *bsae"),
    ['r:4:9: layers.next: there is no anchor &bsae above (did you mean "base"?)'],
  ],
  ["an alias inside of itself", top("x-a: &a [*a]"), ["r:3:10: x-a[0]: the alias *a stands inside of what it names"]],
  [
    "an alias bomb",
    top(
      "x-a: &a [1,1,1,1,1,1,1,1,1,1]\n" +
        "abcdefgh"
          .split("")
          .slice(1)
          .map((c, i) => `x-${c}: &${c} [${Array(10).fill("*" + "abcdefgh"[i])}]`)
          .join("\n"),
    ),
    ["r:8:13: this is more than 200000 values, with its aliases followed"],
  ],
  ["nested too deeply", top("x-a: " + "[".repeat(200) + "]".repeat(200)), ["r:3:106: values are nested more than 100 levels deep"]],
  [
    "octal",
    steps("- copy: { from: a, to: /b, mode: 0644 }"),
    ['r:6:40: layers.base.steps[0].copy.mode: 0644 is read as the number 644, not as octal (write it in quotes for text: "0644")'],
  ],
  [
    "infinity and long numbers",
    steps("- listen: { port: .inf }\n- listen: { port: 12345678901234567890 }"),
    [
      "r:6:25: layers.base.steps[0].listen.port: .inf is not a number that a recipe can hold",
      'r:7:25: layers.base.steps[1].listen.port: 12345678901234567890 has more digits than a number can hold (write it in quotes for text: "12345678901234567890")',
    ],
  ],
  [
    "nothing required is there",
    "description: x\n",
    [
      'r:1:1: "name" is missing (Name of the recipe, and of the images it gives)',
      'r:1:1: "layers" is missing (The layers by name, in any order)',
    ],
  ],
  [
    "unknown keys at the top",
    "nmae: shop\nlayer: {}\n",
    ['r:1:1: unknown key "nmae" (did you mean "name"?)', 'r:2:1: unknown key "layer" (did you mean "layers"?)'],
  ],
  [
    "wrong kinds at the top",
    "name: 12\ndescription: [a]\ncake: backed\nfoundation: own\nlayers: [a]\n",
    [
      'r:1:7: name: expected text, found the number 12 (put it in quotes: "12")',
      "r:2:14: description: expected text, found a list",
      'r:3:7: cake: expected "baked", "software" or "boot", found "backed" (did you mean "baked"?)',
      'r:4:13: foundation: expected a mapping, found "own"',
      "r:5:9: layers: expected a mapping, found a list",
    ],
  ],
  [
    "a bad name",
    "name: My Shop\nlayers: { base: { from: image:debian, steps: [run: a] } }\n",
    ["r:1:7: name: use lower-case letters, digits and hyphens, starting with a letter"],
  ],
  [
    "a builder that is unknown",
    top("foundation: { builder: mmdebootstrap }"),
    ['r:3:24: foundation.builder: expected "own" or "mmdebstrap", found "mmdebootstrap" (did you mean "mmdebstrap"?)'],
  ],
  ["no layers", "name: shop\nlayers: {}\n", ["r:2:9: layers: has no layers (a recipe needs at least one)"]],
  [
    "a layer that is nothing",
    layers("base:"),
    ["r:3:3: layers.base: expected a mapping, found nothing (for example { from: base, steps: […] })"],
  ],
  [
    "a layer that is a list",
    layers("base: [run: a]"),
    ["r:3:9: layers.base: expected a mapping, found a list (keys here: description, from, steps, image, checks, artifacts, release)"],
  ],
  [
    "a layer's keys",
    layers("base: { form: image:debian, stesp: [] }"),
    ['r:3:11: layers.base: unknown key "form" (did you mean "from"?)', 'r:3:31: layers.base: unknown key "stesp" (did you mean "steps"?)'],
  ],
  [
    "a layer's name",
    layers("Base_1: { from: image:debian, steps: [run: a] }"),
    ["r:3:11: layers.Base_1: use lower-case letters, digits and hyphens, starting with a letter"],
  ],
  ["steps that are nothing", layers("base:\n  from: image:debian\n  steps:"), ["r:5:5: layers.base.steps: expected a list, found nothing"]],
  [
    "steps that are a mapping",
    layers("base:\n  from: image:debian\n  steps: { run: a }"),
    ["r:5:12: layers.base.steps: expected a list, found a mapping"],
  ],
  ["no steps", layers("base: { from: image:debian }"), ["warning: r:3:3: layers.base: has no steps"]],
  [
    "an unknown parent",
    layers("base: { from: image:debian, steps: [run: a] }\napp: { from: bsae, steps: [run: a] }"),
    ['r:4:16: layers.app.from: there is no layer "bsae" (did you mean "base"?)'],
  ],
  [
    "an unknown parent that looks like nothing",
    layers("app: { from: debian, steps: [run: a] }"),
    ['r:3:16: layers.app.from: there is no layer "debian" (for an image of the store write image:…)'],
  ],
  [
    "a cycle of three",
    layers(
      "a: { from: c, steps: [run: a] }\nb: { from: a, steps: [run: a] }\nc: { from: b, steps: [run: a] }\nd: { from: a, steps: [run: a] }",
    ),
    ["r:3:14: layers.a.from: the layers stand on each other: a → c → b → a"],
  ],
  ["a layer on itself", layers("a: { from: a, steps: [run: a] }"), ["r:3:14: layers.a.from: a layer cannot stand on itself"]],
  [
    "from as a number",
    layers("a: { from: 12, steps: [run: a] }"),
    ['r:3:14: layers.a.from: expected text or a mapping, found the number 12 (put it in quotes: "12")'],
  ],
  [
    "from with a wrong key",
    layers("a: { from: { imgae: x }, steps: [run: a] }"),
    ['r:3:16: layers.a.from: unknown key "imgae" (did you mean "image"?)'],
  ],
  [
    "no foundation",
    layers("base: { steps: [run: a] }"),
    ["r:3:3: layers.base: has neither a parent nor a foundation step (say `from: …`, or start its steps with debian, rootfs)"],
  ],
  [
    "a foundation that is not first",
    layers("base: { steps: [run: a, debian: { suite: bookworm }] }"),
    ['r:3:27: layers.base.steps[1].debian: "debian" must be the first step of its layer'],
  ],
  [
    "a foundation in a layer with a parent",
    layers("base: { from: image:x, steps: [debian: { suite: bookworm }] }"),
    ['r:3:34: layers.base.steps[0].debian: "debian" starts a layer without a parent, and this one has `from` (remove one of the two)'],
  ],
  [
    "two foundations",
    layers("base: { steps: [debian: { suite: bookworm }, rootfs: { path: a }] }"),
    ['r:3:48: layers.base.steps[1].rootfs: "rootfs" must be the first step of its layer'],
  ],
  [
    "a layer beside",
    layers(
      "base: { from: image:x, steps: [run: a] }\napp: { from: base, steps: [run: a], image: {} }\nold: { from: base, steps: [run: a] }",
    ),
    ["warning: r:5:3: layers.old: no layer stands on this one (remove it, or say with `image:` or `release:` that it is a result)"],
  ],
  [
    "volume written short",
    layers("a: { from: image:x, release: volume, steps: [run: a] }"),
    ["r:3:32: layers.a.release: must be layer, or { volume: /path } with the path where it is mounted"],
  ],
  [
    "volume at a bad place",
    layers("a: { from: image:x, release: { volume: /etc/app }, steps: [run: a] }"),
    ["r:3:42: layers.a.release.volume: cannot be a volume: the system needs what is there"],
  ],
  [
    "volume at no absolute path",
    layers("a: { from: image:x, release: { volume: srv }, steps: [run: a] }"),
    ["r:3:42: layers.a.release.volume: must be an absolute path without a slash at its end, such as /srv/app"],
  ],
  [
    "a layer on a volume",
    layers("a: { from: image:x, release: { volume: /srv/a }, steps: [run: a] }\nb: { from: a, steps: [run: a] }"),
    ['r:4:14: layers.b.from: no layer can stand on "a", which is a volume (use its parent)'],
  ],
  [
    "a volume without a parent",
    layers("a: { release: { volume: /srv/a }, steps: [debian: { suite: bookworm }] }"),
    ["r:3:8: layers.a.release: a volume needs a parent, the image that it is mounted in (say `from: …`)"],
  ],
  [
    "image settings",
    layers(
      "a:\n  from: image:x\n  steps: [run: a]\n  image: { entry: nginx, ports: [80, 70000, http], users: www, labels: { version: 1.10 }, prots: [1] }",
    ),
    [
      "r:6:21: layers.a.image.entry: must be a systemd unit, such as nginx.service",
      "r:6:40: layers.a.image.ports[1]: must be at most 65535, found 70000",
      "r:6:47: layers.a.image.ports[2]: must be a port such as 80, or 53/udp",
      'r:6:61: layers.a.image.users: expected a list, found "www" (write it as a list: [www])',
      'r:6:85: layers.a.image.labels.version: expected text, found the number 1.1 (put it in quotes: "1.10")',
      'r:6:93: layers.a.image: unknown key "prots" (did you mean "ports"?)',
    ],
  ],
  ["an unknown step", steps("- atp: [curl]"), ['r:6:9: layers.base.steps[0]: unknown step "atp" (did you mean "apt"?)']],
  [
    "a step that is far off",
    steps("- dockerfile: x"),
    [
      'r:6:9: layers.base.steps[0]: unknown step "dockerfile" (steps: anything, apt, copy, debian, listen, rootfs, run, sysctl, system, unit)',
    ],
  ],
  [
    "an entry without a step",
    steps("- name: x\n- {}"),
    [
      "r:6:9: layers.base.steps[0]: this entry names no step (steps: anything, apt, copy, debian, listen, rootfs, run, sysctl, system, unit)",
      "r:7:9: layers.base.steps[1]: this entry names no step (steps: anything, apt, copy, debian, listen, rootfs, run, sysctl, system, unit)",
    ],
  ],
  [
    "a step without options in a list",
    steps("- apt\n- true\n- [a]"),
    [
      'r:6:9: layers.base.steps[0]: expected a mapping such as `apt: …`, found "apt"',
      "r:7:9: layers.base.steps[1]: expected a step such as `run: …`, found true (steps: anything, apt, copy, debian, listen, rootfs, run, sysctl, system, unit)",
      "r:8:9: layers.base.steps[2]: expected a step such as `run: …`, found a list (steps: anything, apt, copy, debian, listen, rootfs, run, sysctl, system, unit)",
    ],
  ],
  [
    "two steps in one",
    steps("- apt: [curl]\n  run: a"),
    ['r:7:9: layers.base.steps[0].run: "apt" and "run" stand in one step (start each step with a `-` of its own)'],
  ],
  [
    "an option beside the step",
    steps("- copy:\n  from: a\n  to: /b"),
    [
      'r:7:9: layers.base.steps[0]: "from" is an option of "copy" (indent it below "copy:")',
      'r:8:9: layers.base.steps[0]: "to" is an option of "copy" (indent it below "copy:")',
    ],
  ],
  [
    "a key beside the step",
    steps("- run: a\n  timeot: 5m\n  color: red"),
    [
      'r:7:9: layers.base.steps[0]: unknown key "timeot" beside "run" (did you mean "timeout"?)',
      'r:8:9: layers.base.steps[0]: unknown key "color" beside "run" (beside the step: name, timeout, network, secrets)',
    ],
  ],
  [
    "settings of a step",
    steps("- run: a\n  name: A B\n  timeout: 10\n  network: full\n  secrets: licence"),
    [
      "r:7:15: layers.base.steps[0].name: use lower-case letters, digits, hyphens, dots and underscores",
      "r:8:18: layers.base.steps[0].timeout: must be a time such as 90s, 10m or 1h30m",
      'r:9:18: layers.base.steps[0].network: expected "none", "recorded", true or false, found "full"',
      'r:10:18: layers.base.steps[0].secrets: expected a list, found "licence" (write it as a list: [licence])',
    ],
  ],
  [
    "a timeout without a unit",
    steps('- run: a\n  timeout: "10"\n- run: b\n  timeout: 0s\n- run: c\n  timeout: 25h'),
    [
      "r:7:18: layers.base.steps[0].timeout: must be a time such as 90s, 10m or 1h30m",
      "r:9:18: layers.base.steps[1].timeout: must be more than nothing and at most 24h",
      "r:11:18: layers.base.steps[2].timeout: must be more than nothing and at most 24h",
    ],
  ],
  [
    "the same name twice",
    steps("- run: a\n  name: x\n- run: b\n  name: x"),
    ['r:9:15: layers.base.steps[1].name: another step of the layer is called "x" (the first is in line 7)'],
  ],
  [
    "an unknown secret",
    steps("- run: a\n  secrets: [licence]"),
    ['r:7:19: layers.base.steps[0].secrets[0]: unknown secret "licence" (name it under `secrets:` at the top)'],
  ],
  [
    "a misspelt secret",
    steps("- run: a\n  secrets: [licens]") + "secrets: { licence: { env: A } }\n",
    ['r:7:19: layers.base.steps[0].secrets[0]: unknown secret "licens" (did you mean "licence"?)'],
  ],
  [
    "options that are missing",
    steps("- copy:\n- copy: { form: a }\n- debian: {}"),
    [
      'r:6:9: layers.base.steps[0].copy: "from" is missing (Source in the recipe\'s folder)',
      'r:6:9: layers.base.steps[0].copy: "to" is missing',
      'r:7:9: layers.base.steps[1].copy: "to" is missing',
      'r:7:17: layers.base.steps[1].copy: unknown key "form" (did you mean "from"?)',
      'r:8:9: layers.base.steps[2].debian: "suite" is missing (Which Debian)',
      'r:8:9: layers.base.steps[2].debian: "debian" starts a layer without a parent, and this one has `from` (remove one of the two)',
    ],
  ],
  [
    "options of the wrong kind",
    steps('- copy: { from: 1, to: b, mode: "644" }'),
    [
      'r:6:23: layers.base.steps[0].copy.from: expected text, found the number 1 (put it in quotes: "1")',
      "r:6:30: layers.base.steps[0].copy.to: must be an absolute path",
      "r:6:39: layers.base.steps[0].copy.mode: must be an octal mode such as 0644",
    ],
  ],
  [
    "a union of text and mapping",
    steps("- run: 12\n- run: []\n- run: { scrpt: a }\n- run: { script: a, shell: zsh }"),
    [
      'r:6:14: layers.base.steps[0].run: expected text or a mapping, found the number 12 (put it in quotes: "12")',
      "r:7:14: layers.base.steps[1].run: expected text or a mapping, found an empty list",
      'r:8:16: layers.base.steps[2].run: unknown key "scrpt" (did you mean "script"?)',
      'r:9:34: layers.base.steps[3].run.shell: expected "sh" or "bash", found "zsh" (did you mean "sh"?)',
    ],
  ],
  [
    "a union of list and mapping",
    steps("- apt: curl\n- apt: { package: [curl] }\n- apt: [curl, 7]\n- apt: []\n- apt:"),
    [
      'r:6:14: layers.base.steps[0].apt: expected a list or a mapping, found "curl" (write it as a list: [curl])',
      'r:7:16: layers.base.steps[1].apt: unknown key "package" (did you mean "packages"?)',
      'r:8:21: layers.base.steps[2].apt[1]: expected text, found the number 7 (put it in quotes: "7")',
      "r:9:14: layers.base.steps[3].apt: must not be empty",
      'r:10:9: layers.base.steps[4].apt: "packages" is missing (Packages to install)',
    ],
  ],
  [
    "a mapping of anything",
    steps("- sysctl: { a: true, b: [1] }\n- sysctl: [a]"),
    [
      'r:6:22: layers.base.steps[0].sysctl.a: expected text or a number, found true (put it in quotes: "true")',
      "r:6:31: layers.base.steps[0].sysctl.b: expected text or a number, found a list",
      "r:7:17: layers.base.steps[1].sysctl: expected a mapping, found a list",
    ],
  ],
  [
    "a number out of range",
    steps('- system: { limit: 11 }\n- system: { limit: 1.5 }\n- system: { limit: "3" }'),
    [
      "r:6:26: layers.base.steps[0].system.limit: must be at most 10, found 11",
      "r:7:26: layers.base.steps[1].system.limit: expected a whole number, found the number 1.5",
      'r:8:26: layers.base.steps[2].system.limit: expected a number, found "3" (leave the quotes out)',
    ],
  ],
  [
    "yes and no",
    steps("- listen: { port: 80, tls: yes }"),
    ['r:6:34: layers.base.steps[0].listen.tls: expected true or false, found "yes" (write true)'],
  ],
  [
    "a value of a discriminated union",
    steps("- unit: { action: enabel, unit: a }\n- unit: { action: mask }"),
    [
      'r:6:25: layers.base.steps[0].unit.action: expected "enable" or "mask", found "enabel" (did you mean "enable"?)',
      'r:7:9: layers.base.steps[1].unit: "unit" is missing',
    ],
  ],
  [
    "an unknown parameter",
    steps("- run: echo {{verson}}") + "parameters: { version: { type: string, default: a } }\n",
    ["r:6:19: layers.base.steps[0].run: unknown parameter {{verson}} (did you mean {{version}}?)"],
  ],
  [
    "a parameter and no parameters",
    steps("- run: echo {{ item }}"),
    ["r:6:19: layers.base.steps[0].run: unknown parameter {{item}} (for the text itself write {{!item}})"],
  ],
  [
    "an unknown parameter in a line of a script",
    steps("- run:\n    script: |\n      true\n      echo {{ nope }}\n      echo {{other}}"),
    [
      "r:9:18: layers.base.steps[0].run.script: unknown parameter {{nope}} (for the text itself write {{!nope}})",
      "r:10:18: layers.base.steps[0].run.script: unknown parameter {{other}} (for the text itself write {{!other}})",
    ],
  ],
  [
    "parameters written short",
    top("parameters: { version: 1.10, b: true, c: x, d: , e: [1] }"),
    [
      'r:3:24: parameters.version: 1.10 is read as the number 1.1 (for text put it in quotes: "1.10")',
      'r:3:45: parameters.d: expected a value or a mapping, found nothing (for example { type: string, default: "1.0.0" })',
      'r:3:53: parameters.e: expected a value or a mapping, found a list (for example { type: string, default: "1.0.0" })',
    ],
  ],
  [
    "parameters of no type",
    top("parameters: { a: {}, b: { typ: string }, c: { type: text } }"),
    [
      'r:3:15: parameters.a: "type" is missing (What kind of value it takes)',
      'r:3:27: parameters.b: unknown key "typ" (did you mean "type"?)',
      'r:3:53: parameters.c.type: expected "string", "number" or "boolean", found "text"',
    ],
  ],
  [
    "defaults that do not fit",
    top("parameters: { a: { type: string, default: 1.10 }, b: { type: number, default: x }, c: { type: boolean, default: yes } }"),
    [
      'r:3:43: parameters.a.default: expected text, found the number 1.1 (put it in quotes: "1.10")',
      'r:3:79: parameters.b.default: expected a number, found "x"',
      'r:3:113: parameters.c.default: expected true or false, found "yes"',
    ],
  ],
  [
    "rules that do not fit",
    top(
      'parameters: { a: { type: string, min: 1, pattern: "(", default: x }, b: { type: number, min: 5, max: 3, default: 4, enum: [a] } }',
    ),
    [
      "r:3:34: parameters.a.min: is only for parameters of type number",
      'r:3:51: parameters.a.pattern: "(" is no regular expression',
      "r:3:94: parameters.b.min: is more than max (3)",
      'r:3:124: parameters.b.enum[0]: expected a number, found "a"',
    ],
  ],
  [
    "defaults that break a rule",
    top(
      'parameters: { a: { type: string, pattern: "v.*", default: x }, b: { type: number, min: 5, default: 4 }, c: { type: string, enum: [x, y], default: z } , d: { type: number, max: 5, default: 7 }}',
    ),
    [
      'r:3:59: parameters.a.default: "x" does not match v.*',
      "r:3:100: parameters.b.default: must be at least 5, found 4",
      'r:3:147: parameters.c.default: expected "x" or "y", found "z"',
      "r:3:189: parameters.d.default: must be at most 5, found 7",
    ],
  ],
  [
    "patterns that a search with backtracking would not end with",
    top(
      'parameters: { a: { type: string, pattern: "^(a+)+$", default: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!" }, b: { type: string, pattern: "(.)\\\\1", default: xx } }',
    ),
    [
      'r:3:63: parameters.a.default: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!" does not match ^(a+)+$',
      'r:3:146: parameters.b.pattern: "(.)\\\\1" has "\\\\1", which is not possible here',
    ],
  ],
  [
    "a parameter without a value",
    top("parameters: { a: { type: string } }"),
    ["r:3:15: parameters.a: has no default and no value was given (--set a=…)"],
  ],
  [
    "a parameter's name",
    top("parameters: { a b: { type: string, default: x } }"),
    ['r:3:20: parameters."a b": use letters, digits, hyphens and underscores, starting with a letter'],
  ],
  [
    "a parameter for the environment",
    top(
      "parameters: { env: { type: string, default: dev }, deploy-env: { type: string, default: x }, where: { type: string, default: qa, enum: [qa, prod] } }",
    ),
    [
      "r:3:15: parameters.env: an image must not depend on the environment that it runs in (the same bytes go from dev to production: name environments with channels, and pass settings at launch)",
      "r:3:52: parameters.deploy-env: an image must not depend on the environment that it runs in (the same bytes go from dev to production: name environments with channels, and pass settings at launch)",
      "r:3:94: parameters.where: an image must not depend on the environment that it runs in (the same bytes go from dev to production: name environments with channels, and pass settings at launch)",
    ],
  ],
  [
    "things that nothing uses",
    top(
      'parameters: { a: { type: string, default: x } }\nsecrets: { b: { env: B } }\nrepositories: { c: { url: "file:c", suites: [a], trusted: true } }',
    ),
    [
      "warning: r:3:15: parameters.a: nothing uses this parameter (steps use it as {{a}})",
      "warning: r:4:12: secrets.b: no step uses this secret (a step asks for it with `secrets: [b]`)",
      "warning: r:5:17: repositories.c: no step installs packages, so nothing uses this repository",
    ],
  ],
  [
    "secrets",
    top('secrets: { a: hunter2, b: {}, c: { env: A, file: b }, d: { env: "A B" }, e: { vault: x }, F: { env: A } }'),
    [
      "r:3:15: secrets.a: expected where the secret comes from, found text (write { env: NAME } or { file: path }, never the secret itself)",
      "r:3:27: secrets.b: needs either env or file",
      "r:3:34: secrets.c: needs either env or file",
      "r:3:65: secrets.d.env: must be the name of an environment variable, such as SHOP_LICENCE",
      'r:3:79: secrets.e: unknown key "vault" (keys here: env, file)',
      "r:3:94: secrets.F: use lower-case letters, digits and hyphens, starting with a letter",
    ],
  ],
  [
    "repositories",
    top(
      'repositories:\n  a: { url: ftp://x, suites: [], key: ../k }\n  b: { url: "http://u:p@h/", suites: [s] }\n  debian: { url: "http://h/", suites: [s], key: k, trusted: true }\n  c: { url: "http://h/", suite: s, key: /k }\n  d: http://h/',
    ),
    [
      "r:4:13: repositories.a.url: must start with http://, https:// or file:",
      "r:4:30: repositories.a.suites: must not be empty",
      "r:4:39: repositories.a.key: must not lead out of the recipe's folder",
      'r:5:3: repositories.b: has neither "key" nor "trusted" (key: keys/name.asc says who signs it; trusted: true takes it unsigned)',
      "r:5:13: repositories.b.url: must not hold a user name or password",
      'r:6:3: repositories.debian: "debian" is what the lock calls packages of the suite itself (choose another name)',
      "r:6:52: repositories.debian.trusted: a repository with a key is verified: remove one of the two",
      'r:7:26: repositories.c: unknown key "suite" (did you mean "suites"?)',
      "r:7:41: repositories.c.key: must be relative to the recipe's folder",
      'r:8:6: repositories.d: expected a mapping, found "http://h/" (keys here: url, suites, components, key, trusted, priority)',
    ],
  ],
];

describe("mistakes in a recipe", () => {
  it.each(MISTAKES)("%s", (_what, text, expected) => {
    expect(told(text)).toEqual(expected);
  });

  it("gives no recipe when there is an error, and one when there are only warnings", () => {
    for (const [, text, expected] of MISTAKES) {
      expect(parseText(text).recipe === undefined).toBe(expected.some((line) => !line.startsWith("warning: ")));
    }
  });

  it("tells mistakes in the same places when lines end as on Windows", () => {
    const text = steps("- rnu: x\n- copy: { from: 1, to: /b }");
    expect(told(text.replaceAll("\n", "\r\n"))).toEqual(told(text));
  });

  it("shows a mistake behind an alias where it is written", () => {
    const text = "name: a\nx-a: &a { form: 1, to: /b }\nlayers: { b: { from: image:c, steps: [copy: *a] } }\n";
    expect(told(text)).toEqual(['r:2:11: layers.b.steps[0].copy: unknown key "form" (did you mean "from"?)']);
  });

  it("tells a hundred mistakes and how many more there are", () => {
    const lines = told(steps(Array.from({ length: 150 }, () => "- rnu: x").join("\n")));
    expect(lines).toHaveLength(101);
    expect(lines.at(-1)).toBe("r: and 50 more problems");
  });

  it("throws all mistakes as one error", () => {
    expect(() => recipeOf(steps("- rnu: x\n- atp: [a]"))).toThrowError(
      expect.objectContaining({ code: "RECIPE_INVALID", message: expect.stringMatching(/rnu[^]*atp/) }) as BakehouseError,
    );
  });

  it("does not repeat what may be a secret", () => {
    expect(told(top("secrets: { a: hunter2 }")).join()).not.toContain("hunter2");
  });
});

describe("values from outside", () => {
  const text = top(
    "parameters: { version: { type: string, default: a, pattern: '[a-z0-9.]+' }, port: { type: number, default: 1 }, tls: { type: boolean, default: false } }",
  );

  it.each([
    [
      { versoin: "2", port: "x" },
      ['--set: unknown parameter "versoin" (did you mean "version"?)', '--set: port: expected a number, found "x"'],
    ],
    [{ version: "A" }, ['--set: version: "A" does not match [a-z0-9.]+']],
    [{ version: 2 }, ["--set: version: expected text, found the number 2"]],
    [{ port: "" }, ['--set: port: expected a number, found ""']],
    [{ port: "1e999" }, ['--set: port: expected a number, found "1e999"']],
    [{ tls: "yes" }, ['--set: tls: expected true or false, found "yes"']],
    [{ constructor: "x" }, ['--set: unknown parameter "constructor" (parameters: version, port, tls)']],
  ])("%j", (parameters, expected) => {
    expect(told(text, { parameters }).filter((line) => line.startsWith("--set"))).toEqual(expected);
  });

  it("says so when there are no parameters at all", () => {
    expect(told(top(""), { parameters: { version: "2" } })).toEqual(['--set: unknown parameter "version" (the recipe has no parameters)']);
  });

  it("takes them over with the parameter's type", () => {
    const recipe = recipeOf(text, { parameters: { version: "2.0", port: "8080", tls: "true" } });
    expect(recipe.parameters.map(({ name, value }) => [name, value])).toEqual([
      ["version", "2.0"],
      ["port", 8080],
      ["tls", true],
    ]);
  });

  it("takes a plain value for a type and a default", () => {
    const short = recipeOf(top('parameters: { a: "1.10", b: 2, c: true }'));
    expect(short.parameters).toEqual([
      { name: "a", type: "string", value: "1.10" },
      { name: "b", type: "number", value: 2 },
      { name: "c", type: "boolean", value: true },
    ]);
    expect(told(top("parameters: { stage: dev }"))).toEqual([expect.stringContaining("must not depend on the environment")]);
  });

  it("gives a parameter without default its value", () => {
    const needed = top("parameters: { version: { type: string } }");
    expect(recipeOf(needed, { parameters: { version: "2" } }).parameters[0]?.value).toBe("2");
  });
});

const SHOP = `# a whole recipe
name: shop
description: The shop
parameters:
  version: { type: string, default: "1.10", description: What is sold }
  port: { type: number, default: 8080 }
repositories:
  vendor: { url: "https://packages.example/{{version}}", suites: [stable], key: keys/vendor.asc, priority: 700 }
secrets:
  licence: { env: SHOP_LICENCE }
cake: baked
foundation: { builder: mmdebstrap }
x-tools: &tools [curl, ca-certificates]
layers:
  release:
    from: base-app
    release: { volume: /srv/shop }
    steps:
      - copy: { from: "app-{{version}}", to: /srv/shop }
  base-app:
    from: base
    steps: [listen: { port: "{{port}}" }]
    image: { entry: nginx.service, ports: [80, 53/udp, 443/tcp, "{{port}}", 80], users: [www-data], labels: { version: "{{version}}", port: "{{port}}" } }
  base:
    from: foundation
    steps:
      - apt: *tools
      - name: harden
        run: { script: "echo {{ version }} {{!version}}", environment: { PORT: "{{port}}" } }
        timeout: 1h30m
        network: recorded
        secrets: [licence]
      - apt: { packages: [jq], recommends: true }
      - run: date
        network: true
      - system:
  foundation:
    steps: [debian: { suite: bookworm }]
  other: { from: image:shop@stable, steps: [run: a], release: layer }
`;

describe("a recipe that is right", () => {
  const recipe = recipeOf(SHOP);
  const layer = (name: string) => recipe.layers.find((one) => one.name === name);
  const step = (address: string) => recipe.layers.flatMap((one) => one.steps).find((one) => one.address === address);

  it("has nothing told about it", () => {
    expect(told(SHOP)).toEqual([]);
  });

  it("has its head", () => {
    const { layers: _layers, ...head } = recipe;
    expect(head).toEqual({
      name: "shop",
      description: "The shop",
      channels: [],
      cake: "baked",
      foundation: { builder: "mmdebstrap" },
      parameters: [
        { name: "version", type: "string", description: "What is sold", value: "1.10" },
        { name: "port", type: "number", value: 8080 },
      ],
      repositories: [
        {
          name: "vendor",
          url: "https://packages.example/1.10",
          suites: ["stable"],
          components: ["main"],
          keyFile: "keys/vendor.asc",
          priority: 700,
        },
      ],
      secrets: { licence: { env: "SHOP_LICENCE" } },
      file: "/srv/shop/bakehouse.yaml",
      folder: "/srv/shop",
    });
  });

  it("has parents before children", () => {
    expect(recipe.layers.map(({ name }) => name)).toEqual(["foundation", "base", "base-app", "release", "other"]);
    expect(recipe.layers.map(({ from }) => from)).toEqual([
      undefined,
      { layer: "foundation" },
      { layer: "base" },
      { layer: "base-app" },
      { image: "shop@stable" },
    ]);
  });

  it("names steps by their name, else their id, counted up", () => {
    expect(layer("base")?.steps.map(({ address }) => address)).toEqual([
      "base/apt",
      "base/harden",
      "base/apt-2",
      "base/run",
      "base/system",
    ]);
  });

  it("fills in parameters and defaults", () => {
    expect(step("base/harden")).toEqual({
      id: "run",
      name: "harden",
      address: "base/harden",
      options: { script: "echo 1.10 {{version}}", shell: "sh", environment: { PORT: "8080" } },
      timeoutMs: 5_400_000,
      network: "recorded",
      secrets: ["licence"],
      position: { line: 28, column: 9 },
    });
    expect(step("base-app/listen")?.options).toEqual({ port: 8080 });
    expect(step("base/apt")?.options).toEqual({ packages: ["curl", "ca-certificates"], recommends: false });
    expect(step("base/system")?.options).toEqual({});
    expect(step("base/run")).toMatchObject({ network: "open", timeoutMs: 1_800_000, secrets: [] });
  });

  it("has image settings", () => {
    expect(layer("base-app")?.image).toEqual({
      entry: "nginx.service",
      ports: ["80", "53/udp", "443", "8080"],
      users: ["www-data"],
      labels: { version: "1.10", port: "8080" },
    });
    expect(layer("base")?.image).toEqual({ ports: [], users: [], labels: {} });
    expect(layer("release")?.release).toEqual({ as: "volume", path: "/srv/shop" });
    expect(layer("other")?.release).toEqual({ as: "layer" });
  });

  it("changes only the steps that use a parameter when it changes", () => {
    const changed = recipeOf(SHOP, { parameters: { version: "2.0" } });
    const options = (of: typeof recipe) =>
      new Map(of.layers.flatMap((one) => one.steps).map((one) => [one.address, JSON.stringify(one.options)]));
    const before = options(recipe);
    expect([...options(changed)].filter(([address, json]) => before.get(address) !== json).map(([address]) => address)).toEqual([
      "base/harden",
      "release/copy",
    ]);
  });

  it.each([
    ["image:shop", { image: "shop" }],
    ["{ image: shop }", { image: "shop" }],
    ["shop@stable", { image: "shop@stable" }],
    [`sha256:${"a".repeat(64)}`, { image: `sha256:${"a".repeat(64)}` }],
    [`image:sha256:${"a".repeat(64)}`, { image: `sha256:${"a".repeat(64)}` }],
  ])("stands on %s", (from, expected) => {
    expect(recipeOf(layers(`a: { from: ${from}, steps: [run: x] }`)).layers[0]?.from).toEqual(expected);
  });

  it("steps around names that are taken", () => {
    const text = steps("- run: a\n- run: b\n- run: c\n  name: run-2\n- run: d");
    expect(recipeOf(text).layers[0]?.steps.map(({ name }) => name)).toEqual(["run", "run-3", "run-2", "run-4"]);
  });

  it.each([
    ["a byte order mark", "\uFEFFname: a\nlayers: { b: { from: image:c, steps: [run: x] } }\n"],
    ["an end mark", "name: a\nlayers: { b: { from: image:c, steps: [run: x] } }\n...\n"],
    ["JSON", '{"name":"a","layers":{"b":{"from":"image:c","steps":[{"run":"x"}]}}}'],
    ["keys that are numbers", "name: a\nlayers: { b: { from: image:c, steps: [sysctl: { 1: a, 1.0: b, true: c }, run: x] } }\n"],
  ])("may have or be %s", (_what, text) => {
    expect(told(text)).toEqual([]);
    expect(recipeOf(text).layers[0]?.steps.at(-1)?.options).toBe("x");
  });

  it("may use any parameter in a template", () => {
    const text = `${steps("- copy: { from: a, to: /b, template: true }")}parameters: { a: { type: string, default: x } }\n`;
    expect(told(text)).toEqual([]);
  });
});
