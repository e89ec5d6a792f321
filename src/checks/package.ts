import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import { installedPackages } from "../core/debian/installed.ts";
import { compareVersions } from "../core/debian/version.ts";
import { allOf, noAnswer } from "./lib/answers.ts";

/** Debian Policy 5.6.1. */
const packageName = () =>
  z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, { error: (issue) => `${JSON.stringify(issue.input)} is no name of a package` });
const RELATION = /^(>=|<=|=|<<|>>|>|<)?\s*([A-Za-z0-9.+:~-]+)$/;
const relation = () =>
  z.string().regex(RELATION, { error: (issue) => `${JSON.stringify(issue.input)} is no version such as 1.22 or >= 1.22` });

const full = z.strictObject({
  installed: z.array(packageName()).optional().describe("Packages that must be there"),
  versions: z
    .record(packageName(), relation())
    .optional()
    .describe("Version of a package: 1.22.1-9 exactly, or compared with >=, <=, <<, >>"),
  absent: z.array(packageName()).optional().describe("Packages that must not be there"),
});
const options = z.union([packageName(), z.array(packageName()).min(1), full]);
type Options = z.output<typeof options>;

/** Looks packages up in the image's dpkg database. */
export const packageCheck = defineCheck({
  id: "package",
  version: 1,
  summary: "Packages are installed, in these versions, or are not there",
  description:
    "Reads the dpkg database of the image. A package that is unpacked but not configured counts as missing. Versions are compared as Debian does.",
  examples: [
    `- package: [nginx-light, ca-certificates]`,
    `- package:
    versions: { openssl: ">= 3.0.11" }
    absent: [gcc, telnetd]`,
  ],
  options,
  platform: "tree",
  needs: ["tree"],
  defaults: { retries: 0, intervalMs: 0, timeoutMs: 10_000 },
  async run({ options: given, tree }) {
    const wanted = wantedOf(given);
    const status = tree.root.readText("/var/lib/dpkg/status");
    if (status === undefined)
      return noAnswer("the image has no dpkg database", { remedy: "only images made of Debian packages can be asked" });
    const versions = new Map(installedPackages(status).map(({ name, version }) => [name, version]));
    const problems = [
      ...[...(wanted.installed ?? []), ...Object.keys(wanted.versions ?? {})]
        .filter((name) => !versions.has(name))
        .map((name) => `${name} is not installed`),
      ...Object.entries(wanted.versions ?? {}).flatMap(([name, text]) => {
        const version = versions.get(name);
        return version === undefined || fits(version, text) ? [] : [`${name} is ${version}, not ${text}`];
      }),
      ...(wanted.absent ?? []).filter((name) => versions.has(name)).map((name) => `${name} ${versions.get(name)} is installed`),
    ];
    const asked = [...(wanted.installed ?? []), ...Object.keys(wanted.versions ?? {}), ...(wanted.absent ?? [])];
    return allOf(problems, `${asked.length === 1 ? asked[0] : `${asked.length} packages`} as asked`, {
      answered: Object.fromEntries(asked.map((name) => [name, versions.get(name) ?? null])),
    });
  },
  selfTest: {
    sound: { options: { installed: ["base-files"], absent: ["bakehouse-self-test"] } },
    faulty: { options: { installed: ["bakehouse-self-test"] } },
  },
});

const wantedOf = (given: Options): z.output<typeof full> =>
  typeof given === "string" ? { installed: [given] } : Array.isArray(given) ? { installed: given } : given;

function fits(version: string, text: string): boolean {
  const [, sign = "=", wanted = ""] = RELATION.exec(text) ?? [];
  const order = compareVersions(version, wanted);
  switch (sign) {
    case ">=":
      return order >= 0;
    case "<=":
      return order <= 0;
    case ">":
    case ">>":
      return order > 0;
    case "<":
    case "<<":
      return order < 0;
    default:
      return order === 0;
  }
}
