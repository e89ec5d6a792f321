import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { loadOrder, moduleInfo, moduleName, type ModuleInfo } from "../../core/boot/module-info.ts";
import { runProgram } from "../overlay-diffs/run-program.ts";

interface KernelModule {
  readonly bytes: Uint8Array;
  readonly info: ModuleInfo;
}

/** The modules of one kernel, read when they are asked for. */
export class KernelModules {
  /** Name → file. */
  readonly #files: ReadonlyMap<string, string>;
  readonly #read = new Map<string, KernelModule>();

  /** @param folder  `/lib/modules/<version>`, on the host */
  constructor(folder: string) {
    this.#files = new Map(
      readdirSync(join(folder, "kernel"), { recursive: true, encoding: "utf8" })
        .filter((path) => /\.ko(\.\w+)?$/.test(path))
        .map((path) => [moduleName(path.slice(path.lastIndexOf("/") + 1)), join(folder, "kernel", path)]),
    );
  }

  /** What has to be loaded for a module, in order; nothing when it is built in or there is no such module. */
  async orderFor(name: string): Promise<readonly string[]> {
    await this.#readWithDependencies(name);
    return loadOrder(name, (each) => this.#read.get(each)?.info);
  }

  /** Of one that `orderFor` named. */
  bytesOf(name: string): Uint8Array {
    const module = this.#read.get(name);
    if (module === undefined) throw new Error(`The module ${name} was not read`);
    return module.bytes;
  }

  async #readWithDependencies(name: string): Promise<void> {
    const file = this.#files.get(name);
    if (file === undefined || this.#read.has(name)) return;
    const bytes = await readModule(file);
    const info = moduleInfo(bytes);
    this.#read.set(name, { bytes, info });
    for (const below of [...info.before, ...info.depends]) await this.#readWithDependencies(below);
  }
}

/** Debian packs modules from trixie on. */
async function readModule(file: string): Promise<Uint8Array> {
  const bytes = readFileSync(file);
  if (file.endsWith(".xz")) return Buffer.from(await runProgram(["xz", "--decompress", "--stdout"], { input: bytes }), "latin1");
  if (file.endsWith(".zst")) return zstdDecompressSync(bytes);
  return file.endsWith(".gz") ? gunzipSync(bytes) : bytes;
}
