import { fieldOf, parseDeb822, type Stanza } from "../../core/debian/deb822.ts";
import { readDebArchive } from "./deb-archive.ts";
import { decompress, type DecompressOptions, type TarContent } from "./decompress.ts";
import { listTar, type TarEntry } from "./tar-headers.ts";

/** A file of a package's control member: a maintainer script, `md5sums`, `triggers`, … */
export interface ControlMember {
  readonly name: string;
  readonly mode: number;
  readonly mtimeSeconds: number;
  readonly content: Buffer;
}

/** What a package says about itself. */
export interface PackageControl {
  readonly hostPath: string;
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** How dpkg names its files in `/var/lib/dpkg/info`: with the architecture where several may be installed side by side. */
  readonly infoName: string;
  /** Its control file. */
  readonly stanza: Stanza;
  readonly control: readonly ControlMember[];
  /** Absolute image paths, byte strings. */
  readonly conffiles: ReadonlySet<string>;
  /** The same in their order, with those that it once had and wants to be removed (`remove-on-upgrade`). */
  readonly conffileList: readonly { readonly path: string; readonly isFormer: boolean }[];
}

export interface BinaryPackage extends PackageControl {
  readonly entries: readonly TarEntry[];
  readonly content: TarContent;
}

export interface BinaryPackages {
  readonly packages: readonly BinaryPackage[];
  /** Gives back the scratch files that the contents are read from. */
  close(): void;
}

/** Reads the control members alone. @throws Error that names the file and says what is wrong with it */
export async function readControl(hostPaths: readonly string[], options: DecompressOptions): Promise<readonly PackageControl[]> {
  const members = hostPaths.map((hostPath) => ({ hostPath, member: readDebArchive(hostPath).control }));
  const { tars, close } = await decompress(members, { ...options, jobs: 1 });
  try {
    return hostPaths.map((hostPath, index) => controlOf(hostPath, tars[index]));
  } finally {
    close();
  }
}

/**
 * Reads packages whole: control files into memory (5 MB for a minbase), contents into scratch files.
 *
 * @param known their control members, in the same order, if they have been read before
 * @throws Error that names the file and says what is wrong with it
 */
export async function readPackages(
  hostPaths: readonly string[],
  options: DecompressOptions,
  known?: readonly PackageControl[],
): Promise<BinaryPackages> {
  const archives = hostPaths.map(readDebArchive);
  const controls = known === undefined ? archives.map(({ hostPath, control: member }) => ({ hostPath, member })) : [];
  const contents = archives.map(({ hostPath, data: member }) => ({ hostPath, member }));
  const { tars, close } = await decompress([...controls, ...contents], options);
  try {
    const packages = hostPaths.map((hostPath, index) =>
      withContent(known?.[index] ?? controlOf(hostPath, tars[index]), tars[controls.length + index]),
    );
    return { packages, close };
  } catch (cause) {
    close();
    throw cause;
  }
}

const withContent = (control: PackageControl, content: TarContent | undefined): BinaryPackage =>
  about(control.hostPath, () => {
    if (content === undefined) throw new Error("it was not decompressed");
    return { ...control, entries: listTar(content.read), content };
  });

const controlOf = (hostPath: string, content: TarContent | undefined): PackageControl =>
  about(hostPath, () => {
    if (content === undefined) throw new Error("it was not decompressed");
    const control = controlMembers(content);
    const stanza = stanzaOf(contentOf(control, "control")?.toString("utf8") ?? "");
    const required = (name: string): string => {
      const value = fieldOf(stanza, name);
      if (value === undefined) throw new Error(`its control file has no ${name}`);
      return value;
    };
    const [name, version, architecture] = [required("Package"), required("Version"), required("Architecture")];
    const infoName = fieldOf(stanza, "Multi-Arch")?.toLowerCase() === "same" ? `${name}:${architecture}` : name;
    return { hostPath, name, version, architecture, infoName, stanza, control, ...conffilesOf(control) };
  });

/** Puts the name of the file before what went wrong in it. */
function about<T>(hostPath: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new Error(`${hostPath}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function stanzaOf(text: string): Stanza {
  const { stanzas, problems } = parseDeb822(text);
  const [stanza] = stanzas;
  if (problems[0] !== undefined) throw new Error(`line ${problems[0].line} of its control file ${problems[0].message}`);
  if (stanza === undefined) throw new Error("its control file is empty");
  return stanza;
}

const controlMembers = ({ read }: TarContent): readonly ControlMember[] =>
  listTar(read)
    .filter((entry) => entry.kind === "file")
    .map((entry) => ({
      name: entry.path.slice(1),
      mode: entry.mode,
      mtimeSeconds: entry.mtimeSeconds,
      content: Buffer.from(read(entry.offset, entry.sizeBytes)),
    }));

export const contentOf = (control: readonly ControlMember[], name: string): Buffer | undefined =>
  control.find((member) => member.name === name)?.content;

/** deb-conffiles(5): a path a line; `remove-on-upgrade` before it means that the package does not hold the file. */
function conffilesOf(control: readonly ControlMember[]): Pick<PackageControl, "conffiles" | "conffileList"> {
  const lines = contentOf(control, "conffiles")?.toString("latin1").split("\n") ?? [];
  const conffileList = lines.flatMap((line) => {
    const [, flag, path] = /^(remove-on-upgrade\s+)?(\/.*?)\s*$/.exec(line) ?? [];
    return path === undefined ? [] : [{ path, isFormer: flag !== undefined }];
  });
  return { conffileList, conffiles: new Set(conffileList.filter((one) => !one.isFormer).map((one) => one.path)) };
}
