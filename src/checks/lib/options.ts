import { z } from "zod";
import { DURATION, parseDuration } from "../../core/recipe/duration.ts";
import { findsIn, readPattern } from "../../core/text/pattern.ts";

/** Pieces that the options of several checks are made of. */

/** A guess: whatever is watched longer than ten minutes is watched by monitoring, not by a check of an image. */
const MAX_WATCH_MS = 600_000;

/** A time, as it is written; `milliseconds` gives the number. */
export const duration = () =>
  z
    .string()
    .regex(DURATION, { error: (issue) => `${JSON.stringify(issue.input)} is no time such as 500ms, 3s or 2m`, abort: true })
    .refine((text) => parseDuration(text) <= MAX_WATCH_MS, "must be at most 10m");

export const milliseconds = (text: string): number => parseDuration(text);

export const port = () => z.int().min(1).max(65_535);

/** An absolute path inside the image. */
export const imagePath = () =>
  z
    .string()
    .regex(/^\/[^\0\n\r]*$/, {
      error: (issue) => `${JSON.stringify(issue.input)} is not absolute: a path inside the image starts with /`,
      abort: true,
    })
    .refine((path) => !path.split("/").includes(".."), 'has "..": write the path that is meant');

/** A path in the recipe's folder. */
export const recipePath = () =>
  z
    .string()
    .regex(/^[^/\0\n\r][^\0\n\r]*$/, {
      error: (issue) => `${JSON.stringify(issue.input)} must be relative to the recipe's folder`,
      abort: true,
    })
    .refine((path) => !path.split("/").includes(".."), "leads out of the recipe's folder: copy what is needed into it");

/** A regular expression of JavaScript, with the flags `m` and `u`. */
export const pattern = () => z.string().refine(isPattern, { error: (issue) => `${JSON.stringify(issue.input)} is no regular expression` });

function isPattern(text: string): boolean {
  try {
    return new RegExp(text, "mu") instanceof RegExp;
  } catch {
    return false;
  }
}

/** A regular expression without references to groups, for texts of which there may be many: matched in a time that does not explode. */
export const linePattern = () =>
  z.string().superRefine((text, context) => {
    const read = readPattern(text);
    if (typeof read === "string") context.addIssue({ code: "custom", message: `${JSON.stringify(text)} ${read}` });
  });

/** @returns nothing where it was not decided, such as for a line of more than 4096 characters */
export function lineFinder(text: string): (line: string) => boolean | undefined {
  const read = readPattern(text);
  if (typeof read === "string") throw new Error(`${JSON.stringify(text)} ${read}`);
  return (line) => {
    const found = findsIn(read, line);
    return typeof found === "string" ? undefined : found;
  };
}

export const matcher = (text: string): RegExp => new RegExp(text, "mu");

export const unitName = () =>
  z.string().regex(/^[\w@.:\\-]+\.(?:service|socket|target|timer|path|mount)$/, {
    error: (issue) => `${JSON.stringify(issue.input)} is no systemd unit such as nginx.service`,
  });
