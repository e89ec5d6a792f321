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
  return [text, ` ${text} `, `x${text}x`].find((candidate) => findsIn(pattern, candidate) === true);
}

function textFor(part: Part): string | undefined {
  switch (part.kind) {
    case "one":
      return CHARACTERS.find((character) => part.fits.test(character));
    case "sequence": {
      const texts = part.parts.map(textFor);
      return texts.includes(undefined) ? undefined : texts.join("");
    }
    case "choice":
      return part.parts.map(textFor).find((text) => text !== undefined);
    case "repeat": {
      const text = part.min === 0 ? "" : textFor(part.part);
      return text === undefined || text.length * part.min > LONGEST_MATCHED ? undefined : text.repeat(text === "" ? 0 : part.min);
    }
    default:
      return "";
  }
}
