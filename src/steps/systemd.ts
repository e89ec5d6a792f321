import { z } from "zod";
import { problemsError } from "../core/errors.ts";
import type { Problem } from "../core/errors.ts";
import { defineStep } from "../core/step.ts";
import type { LaunchContext, StepContext } from "../core/step.ts";
import { UNIT_FOLDER, UnitLinks } from "./lib/enable-units.ts";
import { baseName, matching, recipePath } from "./lib/options.ts";
import { payloadPath, quote, templateSed, words, writeFileAtLaunch } from "./lib/shell.ts";
import { inImage } from "./lib/step-error.ts";
import { fillTemplate, templateParameters } from "./lib/template.ts";
import { fullUnitName, isUnitName, parseUnit, splitUnitName } from "./lib/unit-file.ts";

const unitName = () =>
  z.string().refine((name) => isUnitName(fullUnitName(name)), {
    error: (issue) => `"${String(issue.input)}" is no name of a unit, such as shop.service or tool@one.service`,
  });

const source = {
  content: z.string().min(1).optional().describe("The text itself; {{parameter}} is filled in"),
  from: recipePath().optional().describe("File beside the recipe"),
  template: z.boolean().optional().describe("Fills in {{parameter}} in the file named by `from`"),
};
const hasOneSource = (value: { readonly content?: string | undefined; readonly from?: string | undefined }): boolean =>
  (value.content === undefined) !== (value.from === undefined);
const ONE_SOURCE = "needs either content or from";

const unitFile = z
  .strictObject({ name: unitName().optional().describe("Name of the unit; the name of the file if absent"), ...source })
  .refine(hasOneSource, ONE_SOURCE)
  .refine((value) => value.name !== undefined || value.from !== undefined, { message: "a unit given as text needs a name", path: ["name"] })
  .refine((value) => value.name !== undefined || value.from === undefined || isUnitName(baseName(value.from)), {
    message: "the file is not named like a unit, so say what the unit is called",
    path: ["name"],
  });

const dropIn = z
  .strictObject({
    unit: unitName().describe("The unit that it adds to"),
    name: matching(/^[A-Za-z0-9][A-Za-z0-9._-]*\.conf$/, "is no file name that ends in .conf, such as 10-limits.conf")
      .optional()
      .describe("File name; absent: 50-<layer>-<step>.conf"),
    ...source,
  })
  .refine(hasOneSource, ONE_SOURCE);

const options = z
  .strictObject({
    units: z
      .array(z.union([recipePath(), unitFile]))
      .min(1)
      .optional()
      .describe("Unit files to put into /etc/systemd/system: paths beside the recipe, or names with their text"),
    dropIns: z.array(dropIn).min(1).optional().describe("Pieces that change a unit of a package"),
    unmask: z.array(unitName()).min(1).optional().describe("Units to make startable again"),
    mask: z.array(unitName()).min(1).optional().describe("Units that nothing may start"),
    disable: z.array(unitName()).min(1).optional().describe("Units that do not start by themselves"),
    enable: z.array(unitName()).min(1).optional().describe("Units that start at boot, by the [Install] section of their files"),
    defaultTarget: matching(/^[A-Za-z0-9_.-]+\.target$/, "is no target, such as multi-user.target")
      .optional()
      .describe("What the machine starts into"),
  })
  .superRefine((value, context) => {
    if (Object.keys(value).length === 0)
      context.addIssue({
        code: "custom",
        message: "says nothing to do: name units, dropIns, enable, disable, mask, unmask or defaultTarget",
        input: value,
      });
    for (const unit of value.units ?? []) {
      if (typeof unit === "string" && !isUnitName(baseName(unit)))
        context.addIssue({
          code: "custom",
          path: ["units"],
          message: `${unit} is not named like a unit: write { name: …, from: ${unit} }`,
          input: value,
        });
    }
    for (const unit of (value.enable ?? []).map(fullUnitName)) {
      const other = (["disable", "mask"] as const).find((list) => value[list]?.map(fullUnitName).includes(unit));
      if (other !== undefined)
        context.addIssue({ code: "custom", path: ["enable"], message: `${unit} is under ${other} as well`, input: value });
    }
  });

type Options = z.output<typeof options>;
type Context = StepContext<Options, "root" | "inputs">;

/** Brings units and says which of them start. */
export const systemd = defineStep({
  id: "systemd",
  version: 1,
  role: "provision",
  summary: "Add systemd units, enable, disable and mask them",
  description: `Nothing is started while an image is baked; this says what starts when a machine does. In this order: \`units\` and \`dropIns\` are written, then
\`unmask\`, \`mask\`, \`disable\`, \`enable\` and \`defaultTarget\` are carried out.

- **enable** makes the links that \`systemctl enable\` makes, from \`WantedBy\`, \`RequiredBy\`, \`UpheldBy\`, \`Alias\`, \`Also\` and \`DefaultInstance\` of the unit and its
  drop-ins. \`tool@one.service\` enables an instance. A unit without anything to enable is refused, since it would not start.
- **disable** takes those links away. Debian's packages enable most of their services when they are installed.
- **mask** also keeps others from starting the unit; it may come before the package that brings it.
- A **timer** is a unit of its own: bring \`report.service\` and \`report.timer\`, enable the timer.
- \`.service\` may be left out. Files are checked for their syntax, and a service for having a \`[Service]\` section.`,
  examples: [
    `- systemd:
    units: [units/shop.service]
    enable: [shop, nginx]
    disable: [ssh.socket]
    mask: [apt-daily.timer, apt-daily-upgrade.timer]
    defaultTarget: multi-user.target`,
    `- systemd:
    units:
      - name: report.service
        content: |
          [Unit]
          Description=Nightly report
          [Service]
          Type=oneshot
          ExecStart=/usr/local/bin/report
      - name: report.timer
        content: |
          [Timer]
          OnCalendar=*-*-* 02:30:00
          [Install]
          WantedBy=timers.target
    enable: [report.timer]`,
    `- systemd:
    dropIns:
      - unit: nginx.service
        name: 10-limits.conf
        content: |
          [Service]
          LimitNOFILE=65536`,
  ],
  options,
  needs: ["root", "inputs"],
  requires: (value) => {
    const texts = textsOf(value, "");
    const files = texts.flatMap(({ from }) => (from === undefined ? [] : [{ path: from }]));
    return {
      ...(files.length === 0 ? {} : { files }),
      ...(texts.some(({ template }) => template === true) ? { parameters: "all" as const } : {}),
    };
  },
  async run(context) {
    const { root, address, options: value } = context;
    const files = readTexts(context);
    inImage(address, () => {
      for (const [path, text] of files) root.write(path, text);
      const links = new UnitLinks(root, address);
      for (const unit of value.unmask ?? []) links.unmask(unit);
      for (const unit of value.mask ?? []) links.mask(unit);
      for (const unit of value.disable ?? []) links.disable(unit);
      for (const unit of value.enable ?? []) links.enable(unit);
      if (value.defaultTarget !== undefined) links.setDefaultTarget(value.defaultTarget);
    });
  },
  atLaunch: (value, context) => launchFragment(value, context),
});

interface UnitText {
  readonly path: string;
  /** The unit itself rather than a drop-in. */
  readonly isUnit: boolean;
  readonly content?: string | undefined;
  readonly from?: string | undefined;
  readonly template?: boolean | undefined;
}

function textsOf(value: Options, address: string): readonly UnitText[] {
  const units = (value.units ?? []).map((unit): UnitText => {
    const file = typeof unit === "string" ? { from: unit } : unit;
    const name = typeof unit === "string" ? baseName(unit) : fullUnitName(unit.name ?? baseName(unit.from ?? ""));
    return { ...file, path: `${UNIT_FOLDER}/${name}`, isUnit: true };
  });
  const dropIns = (value.dropIns ?? []).map((piece): UnitText => ({
    ...piece,
    path: `${UNIT_FOLDER}/${fullUnitName(piece.unit)}.d/${piece.name ?? `50-${address.replaceAll("/", "-")}.conf`}`,
    isUnit: false,
  }));
  return [...units, ...dropIns];
}

/** Image path → text of every file, checked. @throws INPUT_INVALID with all problems of all files */
function readTexts({ inputs, parameters, address, options: value }: Context): readonly (readonly [string, string])[] {
  const problems: Problem[] = [];
  const files = textsOf(value, address).map((text): readonly [string, string] => {
    const file = text.from ?? baseName(text.path);
    const raw = text.content ?? inputs.readText(text.from ?? "");
    const filled =
      text.template === true ? fillTemplate(file, raw, templateParameters(parameters, undefined)) : { text: raw, problems: [] };
    problems.push(...filled.problems, ...unitProblems(file, text, filled.text));
    return [text.path, filled.text.endsWith("\n") ? filled.text : `${filled.text}\n`];
  });
  if (problems.length > 0) throw problemsError("INPUT_INVALID", problems);
  return files;
}

function unitProblems(file: string, { path, isUnit }: UnitText, text: string): readonly Problem[] {
  const unit = parseUnit(file, text);
  const { suffix } = splitUnitName(baseName(path));
  const needed = { ".service": "Service", ".socket": "Socket", ".timer": "Timer", ".mount": "Mount", ".path": "Path" }[suffix];
  const lacks = isUnit && needed !== undefined && !unit.sections.includes(needed);
  return [...unit.problems, ...(lacks ? [{ file, message: `a ${suffix.slice(1)} needs a [${needed}] section` }] : [])];
}

function launchFragment(value: Options, context: LaunchContext) {
  const texts = textsOf(value, context.address);
  const files = texts.map((text) => {
    if (text.content !== undefined) return writeFileAtLaunch(text.path, text.content);
    const fill = text.template === true ? `\nsed -i -e ${quote(templateSed(context.parameters, undefined))} ${quote(text.path)}` : "";
    return `install -D -m 0644 ${payloadPath(text.from ?? "")} ${quote(text.path)}${fill}`;
  });
  const verbs = (["unmask", "mask", "disable", "enable"] as const).flatMap((verb) =>
    (value[verb]?.length ?? 0) === 0 ? [] : [words("systemctl", verb, ...(value[verb] ?? []).map(fullUnitName))],
  );
  const payload = texts.flatMap(({ from }) => (from === undefined ? [] : [{ path: from }]));
  return {
    script: [
      ...files,
      ...verbs,
      ...(value.defaultTarget === undefined ? [] : [words("systemctl", "set-default", value.defaultTarget)]),
      // The machine starts what is enabled when every step is done, as it would have when it booted from an image.
      "if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi",
    ].join("\n"),
    ...(payload.length === 0 ? {} : { payload }),
  };
}
