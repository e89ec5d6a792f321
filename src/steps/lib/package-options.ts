import { z } from "zod";
import { parsePackageArgument } from "../../core/debian/package-argument.ts";

/** A package as apt names it; the message says what is wrong with it. */
const packageName = () =>
  z.string().superRefine((text, context) => {
    if (parsePackageArgument(text) !== undefined) return;
    context.addIssue({
      code: "custom",
      message: `${JSON.stringify(text)} is no package: write name, name=version, name/suite, or name- to leave one out`,
      input: text,
    });
  });

/** Packages, each once. */
export const packageNames = () =>
  z
    .array(packageName())
    .min(1, "name at least one package")
    .superRefine((names, context) => {
      const repeated = [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
      if (repeated.length > 0)
        context.addIssue({
          code: "custom",
          message: `${repeated.join(", ")} ${repeated.length === 1 ? "is" : "are"} there twice`,
          input: names,
        });
    });

/** A suite's name, such as bookworm-backports. */
export const suiteName = () => z.string().regex(/^[a-z0-9][a-z0-9.+-]*$/, "write the name of a suite, such as bookworm-backports");

const TYPES = "string|boolean|select|multiselect|password|text|note|error|title";
const ANSWER = new RegExp(`^[a-z0-9][a-z0-9+.-]* \\S+ (?:${TYPES})(?: .*)?$`);

/** Answers for debconf, a line each. */
export const preseed = () =>
  z
    .array(z.string().regex(ANSWER, 'write an answer as "package question type value", such as "tzdata tzdata/Areas select Europe"'))
    .min(1, "name at least one answer");

/** Names that a release is meant for: those that do not name a version or suite themselves. */
export const fromRelease = (names: readonly string[], release: string | undefined): readonly string[] => {
  if (release === undefined) return names;
  return names.map((name) => {
    const parsed = parsePackageArgument(name);
    return parsed === undefined || parsed.excluded || parsed.version !== undefined || parsed.suite !== undefined
      ? name
      : `${name}/${release}`;
  });
};
