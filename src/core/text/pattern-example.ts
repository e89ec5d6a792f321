import { findsIn, LONGEST_MATCHED, type Part, type Pattern } from "./pattern.ts";

/** Readable ones first. */
const CHARACTERS = [
  ..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_.:/,;=()[]{}<>\"'!?@#$%&*+|~^`\\\t",
  ...Array.from({ length: 0x24f - 0xa1 }, (_, index) => String.fromCodePoint(0xa1 + index)),
];

/** A short text in which the pattern is found. @returns nothing when none was found; look-around is not solved */
export function exampleOf(pattern: Pattern): string | undefined {
  const text = textFor(pattern.whole);
  if (text === undefined) return undefined;
  return [text, ` ${text} `].find((candidate) => findsIn(pattern, candidate) === true);
}

function textFor(part: Part): string | undefined {
  switch (part.kind) {
    case "one":
      return CHARACTERS.find((character) => part.fits.test(character));
    case "sequence":
      return joined(part.parts.length, (index) => part.parts[index]);
    case "choice":
      return part.parts.map(textFor).find((text) => text !== undefined);
    case "repeat":
      return joined(part.min, () => part.part);
    default:
      return "";
  }
}

function joined(count: number, partAt: (index: number) => Part | undefined): string | undefined {
  let text = "";
  for (let index = 0; index < count; index++) {
    const part = partAt(index);
    const next = part === undefined ? "" : textFor(part);
    if (next === undefined || text.length > LONGEST_MATCHED) return undefined;
    if (next === "" && part?.kind !== "sequence" && count > LONGEST_MATCHED) return text; // nothing, very often
    text += next;
  }
  return text;
}
