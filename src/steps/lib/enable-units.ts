import { suggestion } from "../../core/text/did-you-mean.ts";
import type { ImageRoot } from "../../ports/image-root.ts";
import { baseName, parentPath } from "./options.ts";
import { stepFailed } from "./step-error.ts";
import { fullUnitName, isTemplate, isUnitName, parseUnit, splitUnitName, templateOf, withInstance, wordsOf } from "./unit-file.ts";
import type { UnitSetting } from "./unit-file.ts";

/** Where an administrator's units and links lie. */
export const UNIT_FOLDER = "/etc/systemd/system";

/** Settings of [Install] that make links into `<unit>.<folder>/`; UpheldBy since systemd 254, older ones ignore the folder. */
const DEPENDENCIES = { WantedBy: "wants", RequiredBy: "requires", UpheldBy: "upholds" } as const;

/** As the kernel has it for links. */
const MAX_ALIASES = 40;

interface Found {
  readonly name: string;
  /** Of the unit's file, as it goes into links. */
  readonly path: string;
  /** [Install] of the file and its drop-ins. */
  readonly install: readonly UnitSetting[];
}

/**
 * Enables, disables and masks units by making the links that `systemctl --root=… enable` makes (systemd.unit(5), [Install]),
 * on an image that need not have a systemctl that runs here. Unlike systemctl, it is an error to enable a unit that has
 * nothing to enable: the recipe's author expects it to start.
 *
 *     /etc/systemd/system/multi-user.target.wants/nginx.service -> /lib/systemd/system/nginx.service
 *     /etc/systemd/system/<alias>                               -> the same
 *     /etc/systemd/system/<masked>                              -> /dev/null
 */
export class UnitLinks {
  readonly #root: ImageRoot;
  readonly #address: string;
  readonly #folders: readonly string[];
  readonly #vendorFolder: string;

  constructor(root: ImageRoot, address: string) {
    this.#root = root;
    this.#address = address;
    this.#vendorFolder = isBeforeTrixie(root) ? "/lib/systemd/system" : "/usr/lib/systemd/system";
    this.#folders = [
      UNIT_FOLDER,
      "/usr/local/lib/systemd/system",
      this.#vendorFolder,
      ...["/usr/lib/systemd/system", "/lib/systemd/system"].filter((folder) => folder !== this.#vendorFolder),
    ];
  }

  enable(name: string): void {
    this.#enable(fullUnitName(name), new Set());
  }

  #enable(name: string, done: Set<string>): void {
    if (done.has(name)) return;
    done.add(name);
    const unit = this.#find(name, "enable");
    const also = wordsOf(unit.install, "Install", "Also").map((word) => expandSpecifiers(word, unit.name));
    const links = this.#linksOf(unit);
    if (links.length === 0 && also.length === 0) {
      throw stepFailed(this.#address, `${name} has nothing to enable: no WantedBy=, RequiredBy= or Alias= in its [Install] section`, {
        hint: "units like this are started by others; leave it out of `enable`, or add an [Install] section with a drop-in",
      });
    }
    for (const { link, target } of links) this.#link(link, target);
    for (const other of also) this.#enable(other, done);
  }

  /** Takes away every link that enables the unit; masks stay. Also= takes the others along, as systemctl does. */
  disable(name: string): void {
    const names = this.#withAlso(fullUnitName(name), new Set());
    const isOurs = (unit: string): boolean => names.has(unit) || names.has(templateOf(unit) ?? "");
    for (const path of this.#links()) {
      const target = this.#root.readLink(path) ?? "";
      if (target !== "/dev/null" && (isOurs(baseName(path)) || isOurs(baseName(target)))) this.#root.remove(path);
    }
  }

  #withAlso(name: string, names: Set<string>): ReadonlySet<string> {
    if (names.has(name)) return names;
    names.add(name);
    const unit = this.#find(name, "disable");
    names.add(unit.name);
    for (const other of wordsOf(unit.install, "Install", "Also")) this.#withAlso(expandSpecifiers(other, unit.name), names);
    return names;
  }

  /** A unit that is not there yet may be masked: a package that brings it later then does not start it. */
  mask(name: string): void {
    const path = `${UNIT_FOLDER}/${fullUnitName(name)}`;
    const entry = this.#root.lstat(path);
    if (entry !== undefined && entry.kind !== "symlink") {
      throw stepFailed(this.#address, `${path} is a file, so it cannot be masked`, {
        hint: `remove it before, with a step \`remove: [${path}]\``,
      });
    }
    if (this.#root.readLink(path) !== "/dev/null") this.#root.symlink(path, "/dev/null");
  }

  unmask(name: string): void {
    const path = `${UNIT_FOLDER}/${fullUnitName(name)}`;
    if (this.#root.readLink(path) === "/dev/null") this.#root.remove(path);
  }

  setDefaultTarget(name: string): void {
    const unit = this.#find(name, "start into");
    this.#root.symlink(`${UNIT_FOLDER}/default.target`, unit.path);
  }

  /** The unit's own file, behind aliases. */
  #find(name: string, verb: string, aliases = 0): Found {
    for (const candidate of [name, templateOf(name)]) {
      if (candidate === undefined) continue;
      for (const folder of this.#folders) {
        const path = `${folder}/${candidate}`;
        const target = this.#root.readLink(path);
        if (target === undefined) {
          if (this.#root.stat(path)?.kind === "file") return { name, path, install: this.#install(name, path) };
          continue;
        }
        if (target === "/dev/null")
          throw stepFailed(this.#address, `cannot ${verb} ${name}: it is masked`, { hint: `put it under \`unmask\` as well` });
        const absolute = target.startsWith("/") ? target : `${folder}/${target}`;
        const real = baseName(target);
        if (real === candidate || aliases >= MAX_ALIASES || !isUnitName(real)) {
          if (this.#root.stat(path)?.kind === "file") return { name, path: absolute, install: this.#install(name, path) };
          continue;
        }
        const { instance } = splitUnitName(name);
        return this.#find(
          instance !== undefined && instance !== "" && isTemplate(real) ? withInstance(real, instance) : real,
          verb,
          aliases + 1,
        );
      }
    }
    throw stepFailed(this.#address, `cannot ${verb} ${name}: the image has no such unit`, this.#hintFor(name));
  }

  #hintFor(name: string): { readonly hint: string } {
    const known = [...new Set(this.#folders.flatMap((folder) => this.#root.list(folder)))].filter(isUnitName);
    const guess = suggestion(name, known);
    return {
      hint:
        guess?.startsWith("did you mean") === true
          ? guess
          : "is its package installed by an earlier step? `units` brings files of your own",
    };
  }

  #install(name: string, path: string): readonly UnitSetting[] {
    const template = templateOf(name);
    const texts = [this.#root.readText(path) ?? "", ...this.#dropIns([name, ...(template === undefined ? [] : [template])])];
    return texts.flatMap((text) => parseUnit(path, text).settings).filter((setting) => setting.section === "Install");
  }

  /** In the order of their names; a name in /etc hides the same one elsewhere. */
  #dropIns(units: readonly string[]): readonly string[] {
    const byName = new Map<string, string>();
    for (const folder of this.#folders) {
      for (const unit of units) {
        for (const name of this.#root.list(`${folder}/${unit}.d`)) {
          if (name.endsWith(".conf") && !byName.has(name)) byName.set(name, `${folder}/${unit}.d/${name}`);
        }
      }
    }
    return [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => this.#root.readText(path) ?? "");
  }

  #linksOf(unit: Found): readonly { readonly link: string; readonly target: string }[] {
    const started = this.#startedName(unit);
    const words = (key: string): readonly string[] =>
      wordsOf(unit.install, "Install", key).map((word) => expandSpecifiers(word, started ?? unit.name));
    const aliases = words("Alias").map((alias) => `${UNIT_FOLDER}/${aliasFor(alias, unit.name)}`);
    const dependencies = Object.entries(DEPENDENCIES).flatMap(([key, folder]) =>
      words(key).map((by) => `${UNIT_FOLDER}/${by}.${folder}/${started ?? unit.name}`),
    );
    if (started === undefined && dependencies.length > 0) {
      throw stepFailed(this.#address, `cannot enable ${unit.name}: it is a template without DefaultInstance=`, {
        hint: `name an instance, such as ${withInstance(unit.name, "NAME")}`,
      });
    }
    return [...aliases, ...dependencies].map((link) => ({ link, target: unit.path }));
  }

  /** A template stands for its default instance. */
  #startedName(unit: Found): string | undefined {
    if (!isTemplate(unit.name)) return unit.name;
    const instance = unit.install.findLast((setting) => setting.key === "DefaultInstance")?.value;
    return instance === undefined || instance === "" ? undefined : withInstance(unit.name, instance);
  }

  #link(path: string, target: string): void {
    const entry = this.#root.lstat(path);
    const now = this.#root.readLink(path);
    if (now !== undefined && this.#isSameUnit(path, now, target)) return;
    // A file of the same name hides what the package brings under the alias: it wins, as for systemctl.
    if (entry !== undefined && now === undefined) throw stepFailed(this.#address, `${path} is a file, so no link to ${target} can be made`);
    if (now !== undefined)
      throw stepFailed(this.#address, `${path} is a link to ${now} already, not to ${target}`, {
        hint: `disable ${baseName(now)} in the same step, or remove the link`,
      });
    this.#root.symlink(path, target);
  }

  /** /lib and /usr/lib are the same in a merged system. */
  #isSameUnit(path: string, one: string, other: string): boolean {
    const absolute = one.startsWith("/") ? one : `${parentPath(path)}/${one}`;
    return this.#root.resolve(absolute) === this.#root.resolve(other);
  }

  /** Every symbolic link in /etc/systemd/system and one folder below. */
  #links(): readonly string[] {
    const below = this.#root.list(UNIT_FOLDER).flatMap((name) => {
      const path = `${UNIT_FOLDER}/${name}`;
      return this.#root.lstat(path)?.kind === "directory" && /\.(?:wants|requires|upholds)$/.test(name)
        ? this.#root.list(path).map((inner) => `${path}/${inner}`)
        : [path];
    });
    return below.filter((path) => this.#root.lstat(path)?.kind === "symlink");
  }
}

/** `x@.service` as alias of `t@one.service` is `x@one.service`. */
function aliasFor(alias: string, unit: string): string {
  const { instance } = splitUnitName(unit);
  return instance !== undefined && instance !== "" && isTemplate(alias) ? withInstance(alias, instance) : alias;
}

/** What systemd allows in [Install] and an image can know: neither host name nor machine id nor kernel. */
function expandSpecifiers(word: string, unit: string): string {
  const { prefix, instance, suffix } = splitUnitName(unit);
  const values: Readonly<Record<string, string>> = {
    n: unit,
    N: unit.slice(0, -suffix.length),
    p: prefix,
    i: instance ?? "",
    j: prefix.slice(prefix.lastIndexOf("-") + 1),
    "%": "%",
  };
  return word.replace(/%([nNpij%])/g, (_, specifier: string) => values[specifier] ?? "");
}

/** Debian 12 and older say /lib in links, 13 says /usr/lib. */
function isBeforeTrixie(root: ImageRoot): boolean {
  const version = /^VERSION_ID="?(\d+)/m.exec(root.readText("/etc/os-release") ?? "")?.[1];
  return version !== undefined && Number(version) < 13;
}
