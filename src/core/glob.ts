/**
 * Globs as in `.gitignore`: `*` and `?` stop at `/`, `**` does not, `[a-z]`, `[!a-z]`, `{one,two}`, `\` takes the next
 * character as it is. A pattern without `/` (but at its end) is about names at any depth; with one it is about the whole
 * path below the folder. `/` at the end: directories only. `!` in front takes something back in; the last match wins.
 */
export interface Globs {
  /** @param path relative, with `/`, not starting with one */
  matches(path: string, isDirectory: boolean): boolean;
  readonly isEmpty: boolean;
}

interface Rule {
  readonly matches: (path: string, name: string) => boolean;
  readonly directoriesOnly: boolean;
  readonly takesBack: boolean;
}

/** @throws nothing; ask `globProblem` first about patterns that people wrote */
export function compileGlobs(patterns: readonly string[]): Globs {
  const rules = patterns.map(compileRule);
  return {
    isEmpty: rules.length === 0,
    matches(path, isDirectory) {
      const name = path.slice(path.lastIndexOf("/") + 1);
      const last = rules.findLast((rule) => (isDirectory || !rule.directoriesOnly) && rule.matches(path, name));
      return last !== undefined && !last.takesBack;
    },
  };
}

function compileRule(pattern: string): Rule {
  const takesBack = pattern.startsWith("!");
  const positive = takesBack ? pattern.slice(1) : pattern;
  const directoriesOnly = positive.endsWith("/");
  const body = positive.replace(/\/+$/, "");
  const anchored = body.includes("/");
  const glob = body.replace(/^\/+/, "");
  if (!hasGlob(glob)) return { takesBack, directoriesOnly, matches: (path, name) => (anchored ? path : name) === glob };
  const expression = globExpression(glob);
  return { takesBack, directoriesOnly, matches: (path, name) => expression.test(anchored ? path : name) };
}

/** Whether a text has characters that mean something in a glob. */
export const hasGlob = (text: string): boolean => /[*?[\]{}\\]/.test(text);

/** What is wrong with a pattern, in words, or undefined. */
export function globProblem(pattern: string): string | undefined {
  if (pattern.replace(/^!/, "").replaceAll("/", "") === "") return `"${pattern}" matches nothing`;
  if (/[\0\n\r]/.test(pattern)) return `${JSON.stringify(pattern)} has a line break or NUL`;
  if (pattern.split("/").includes("..")) return `"${pattern}" has "..": a pattern stays below its folder`;
  try {
    globExpression(pattern);
  } catch {
    return `"${pattern}" is not a glob: a range in [ ] is the wrong way round`;
  }
  return undefined;
}

/** The whole text must match. `/` counts as written: no anchoring, no names at any depth. */
export function globExpression(glob: string): RegExp {
  let source = "";
  let alternatives = 0;
  for (let at = 0; at < glob.length;) {
    const rest = glob.slice(at);
    const token =
      /^\/\*\*(?=\/)/.exec(rest)?.[0] ??
      (at === 0 ? /^\*\*\//.exec(rest)?.[0] : undefined) ??
      /^\*+|^\[!?\]?[^\]/]*\]|^\\[^]|^[^]/u.exec(rest)?.[0] ??
      "";
    at += token.length;
    if (token === "/**") source += "(?:/.*)?";
    else if (token === "**/") source += "(?:.*/)?";
    else if (token === "*") source += "[^/]*";
    else if (token.startsWith("*")) source += ".*";
    else if (token === "?") source += "[^/]";
    else if (token.length > 2 && token.startsWith("[")) source += characterClass(token);
    else if (token === "{" && rest.includes("}")) {
      source += "(?:";
      alternatives++;
    } else if (token === "}" && alternatives > 0) {
      source += ")";
      alternatives--;
    } else if (token === "," && alternatives > 0) source += "|";
    else source += literal(token.length > 1 && token.startsWith("\\") ? token.slice(1) : token);
  }
  return new RegExp(`^${source}${")".repeat(alternatives)}$`, "su");
}

const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

function characterClass(token: string): string {
  const negated = token.startsWith("[!");
  const members = token.slice(negated ? 2 : 1, -1).replace(/[\\\]^[&~|(){}/]/g, "\\$&");
  return negated ? `[^/${members}]` : `[${members}]`;
}
