/** What a recipe asks for: `name`, `name=version`, `name/suite`, or `name-` to leave one out. */
export interface PackageArgument {
  readonly text: string;
  readonly name: string;
  readonly version?: string;
  readonly suite?: string;
  readonly excluded: boolean;
}

const NAME = /^[a-z0-9][a-z0-9+.-]+$/;

/**
 * Reads one entry of a list of packages. An architecture (`name:amd64`) is dropped: everything here is amd64 or all.
 *
 * @returns undefined when it is none of the forms; apt would take some of those for patterns or tasks
 */
export function parsePackageArgument(text: string): PackageArgument | undefined {
  const [, head = "", mark = "", tail = ""] = /^([^=/]*)([=/]?)(.*)$/s.exec(text) ?? [];
  if ((mark === "") !== (tail === "") || /\s/.test(tail)) return undefined;
  const bare = head.replace(/:(amd64|any|all)$/, "");
  // A name may not end in `-` but may end in `+` (g++), so only the first is a mark.
  const excluded = mark === "" && bare.endsWith("-");
  const name = excluded ? bare.slice(0, -1) : bare;
  if (!NAME.test(name) || name.endsWith("-")) return undefined;
  return { text, name, excluded, ...(mark === "=" ? { version: tail } : {}), ...(mark === "/" ? { suite: tail } : {}) };
}
