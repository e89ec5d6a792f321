/** What a kernel module says about itself: strings `key=value`, each ended by a NUL, in the ELF section `.modinfo`. */
export interface ModuleInfo {
  /** Modules whose symbols it uses. */
  readonly depends: readonly string[];
  /** Modules that it asks for at run time and would rather have loaded before. */
  readonly before: readonly string[];
}

/** Modules are named with `_`, whatever their file is called. */
export const moduleName = (name: string): string => name.replace(/\.ko(\.(xz|zst|gz))?$/, "").replaceAll("-", "_");

const decoder = new TextDecoder("latin1");

/** The section need not be found: nothing else in a module is a NUL, `depends=`, names, and a NUL. */
export function moduleInfo(module: Uint8Array): ModuleInfo {
  const text = decoder.decode(module);
  const depends = /\0depends=([\w,-]*)\0/.exec(text)?.[1] ?? "";
  const before = [...text.matchAll(/\0softdep=pre: ([^\0]*)\0/g)].flatMap(([, names]) =>
    (names ?? "").replace(/ post:.*/, "").split(/\s+/),
  );
  return { depends: names(depends.split(",")), before: names(before) };
}

const names = (list: readonly string[]): readonly string[] => list.filter((name) => name !== "").map(moduleName);

/**
 * The modules to load, in order, so that each finds what it depends on.
 *
 * @param infoOf  `undefined` for what is no file: built into the kernel, or not there
 */
export function loadOrder(wanted: string, infoOf: (name: string) => ModuleInfo | undefined): readonly string[] {
  const order: string[] = [];
  const visit = (name: string, above: readonly string[]): void => {
    if (order.includes(name) || above.includes(name)) return;
    const info = infoOf(name);
    if (info === undefined) return;
    for (const below of [...info.before, ...info.depends]) visit(below, [...above, name]);
    order.push(name);
  };
  visit(wanted, []);
  return order;
}
