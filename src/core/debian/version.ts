/**
 * Order of two Debian versions, as dpkg has it (Debian policy §5.6.12): epoch, then upstream version, then revision; `~` sorts
 * before everything, even the end. Tested against `dpkg --compare-versions`.
 *
 * @returns negative when `a` is older, 0 when they are equal (`1.0` and `0:1.0-0` are), positive when `a` is newer
 */
export function compareVersions(a: string, b: string): number {
  const left = splitVersion(a);
  const right = splitVersion(b);
  return left.epoch - right.epoch || compareParts(left.upstream, right.upstream) || compareParts(left.revision, right.revision);
}

interface VersionParts {
  readonly epoch: number;
  readonly upstream: string;
  readonly revision: string;
}

function splitVersion(version: string): VersionParts {
  const colon = version.indexOf(":");
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf("-");
  return {
    epoch: colon === -1 ? 0 : Number(version.slice(0, colon)),
    upstream: dash === -1 ? rest : rest.slice(0, dash),
    revision: dash === -1 ? "" : rest.slice(dash + 1),
  };
}

/** Runs of non-digits and runs of digits in turn, as dpkg compares them. */
function compareParts(a: string, b: string): number {
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    while ((i < a.length && !isDigit(a, i)) || (j < b.length && !isDigit(b, j))) {
      const difference = weight(a, i) - weight(b, j);
      if (difference !== 0) return difference;
      i++;
      j++;
    }
    const left = digitsEnd(a, i);
    const right = digitsEnd(b, j);
    const difference = compareNumbers(a.slice(i, left), b.slice(j, right));
    if (difference !== 0) return difference;
    i = left;
    j = right;
  }
  return 0;
}

/** Numbers as text: a date with a time in a version has more digits than a double is exact for. */
function compareNumbers(a: string, b: string): number {
  const left = a.replace(/^0+/, "");
  const right = b.replace(/^0+/, "");
  if (left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}

const isDigit = (text: string, index: number): boolean => {
  const code = text.charCodeAt(index);
  return code >= 48 && code <= 57;
};

const digitsEnd = (text: string, from: number): number => {
  let end = from;
  while (end < text.length && isDigit(text, end)) end++;
  return end;
};

/** `~` before the end (and before a digit, which ends the run), then letters, then all other characters. */
function weight(text: string, index: number): number {
  if (index >= text.length || isDigit(text, index)) return 0;
  const code = text.charCodeAt(index);
  if (code === 126) return -1;
  const isLetter = (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
  return isLetter ? code : code + 256;
}
