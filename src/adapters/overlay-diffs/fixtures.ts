import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { joinRaw, type RawPath, textOfRaw } from "../../core/layer/raw-path.ts";
import { readAttributes } from "./extended-attributes.ts";

/** For this folder's tests. An empty folder, removed when the scope ends. */
export function temporaryFolder(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "bakehouse-layer-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export const EPOCH = 1_700_000_000;

/** Runs a script with `sh -e`; its text is bytes, one character each. */
export function shell(script: string, cwd: string): string {
  const result = spawnSync("sh", ["-e", "-s"], { cwd, input: Buffer.from(script, "latin1"), maxBuffer: 1 << 28 });
  if (result.status !== 0) throw new Error(`${result.stderr.toString()}\n${script}`);
  return result.stdout.toString("latin1");
}

/** As the kernel keeps `user::rwx,user:1000:r-x,group::r-x,mask::r-x,other::---`. */
export const ACL_HEX = "0x0200000001000700ffffffff02000500e803000004000500ffffffff10000500ffffffff20000000ffffffff";
export const CAPABILITY_HEX = "0x0100000200200000000000000000000000000000";
export const LONG_NAME = `${"long".repeat(60)}.txt`;
export const NON_UTF8 = "caf\xe9 \xff";

/** One of everything that a layer can hold (a socket excepted), with the names that break careless writers. */
export function makeRichTree(directory: string): void {
  mkdirSync(directory, { recursive: true });
  const deep = `deep/${"a".repeat(90)}/${"b".repeat(90)}/${"c".repeat(90)}`;
  shell(
    `
umask 022
chmod 755 .
mkdir -p etc usr/bin usr/lib 'var/log/journal' '${deep}' empty-dir private
ln -s usr/lib lib
printf 'hello\\n' >etc/hello
: >etc/empty
printf 'x' >'${deep}/${LONG_NAME}'
printf 'y' >'usr/${NON_UTF8}'
printf 'z' >'${deep}/${NON_UTF8.repeat(30)}'
printf 'n' >'etc/new
line'
printf 'q' >"etc/quo'te\\"\\\\ \\\\134 = %3D"
printf 't' >'etc/# file: trick'
head -c 5000000 /dev/zero | tr '\\0' 'A' >usr/lib/big
head -c 512 /dev/zero >usr/lib/exact
printf 'suid' >usr/bin/suid && chmod 4755 usr/bin/suid
printf 'owned' >usr/bin/owned && chown 12345:54321 usr/bin/owned && chmod 0640 usr/bin/owned
printf 'far' >usr/bin/far && chown 3000000:3000001 usr/bin/far
ln usr/bin/owned etc/0-first-name
ln usr/bin/owned usr/lib/another-name
ln -s /nowhere/at/all dangling
ln -s '${"target/".repeat(30)}end' long-link
ln -s 'lat\xefn' 'link-\xff'
chown -h 7:8 dangling
mkfifo -m 0620 var/fifo
mknod -m 0666 null c 1 3
mknod -m 0660 sda b 8 17
chown 0:6 sda
chmod 1777 empty-dir
chmod 0700 private
printf 'secret' >private/file && chmod 0000 private/file
printf 'cap' >usr/bin/ping && setfattr -n security.capability -v ${CAPABILITY_HEX} usr/bin/ping
setfattr -n system.posix_acl_access -v ${ACL_HEX} var/log/journal
setfattr -n system.posix_acl_default -v ${ACL_HEX} var/log/journal
printf 'acl' >var/acl && setfattr -n system.posix_acl_access -v ${ACL_HEX} var/acl
setfattr -n user.plain -v value etc/hello
setfattr -n user.empty etc/hello
setfattr -n 'user.w=ei%rd' -v 0x00ff0a0d3d 'etc/hello'
setfattr -n user.long -v 0x${"ab".repeat(1500)} 'etc/new
line'
setfattr -n user.bytes -v 0x01 'usr/${NON_UTF8}'
find . -exec touch -h -d @1600000000 {} +
touch -h -d @1500000000.75 etc/hello
touch -d @1800000000 etc/empty
`,
    directory,
  );
}

/** Everything about a tree that a layer carries, a line per entry, so that two trees are compared by comparing text. */
export async function fingerprint(directory: string, ignoreAttributes = /^trusted\.overlay\.(?!opaque)/): Promise<readonly string[]> {
  const attributes = await readAttributes(directory);
  const names = new Map<string, RawPath>();
  const lines: string[] = [];
  const visit = (path: RawPath): void => {
    const host = Buffer.from(path === "" ? directory : `${Buffer.from(directory).toString("latin1")}/${path}`, "latin1");
    const stats = lstatSync(host);
    if (stats.isCharacterDevice() && stats.rdev === 0) {
      lines.push(`${textOfRaw(path)} | whiteout`); // nobody sees its owner, mode and time
      return;
    }
    const inode = `${stats.dev}:${stats.ino}`;
    const first = stats.isDirectory() ? path : (names.get(inode) ?? path);
    names.set(inode, first);
    const what = stats.isSymbolicLink()
      ? `-> ${readlinkSync(host, { encoding: "latin1" })}`
      : stats.isFile()
        ? createHash("sha256").update(readFileSync(host)).digest("hex").slice(0, 12)
        : stats.isDirectory() || stats.isFIFO()
          ? ""
          : `device ${stats.rdev}`;
    const xattrs = [...(attributes.get(path) ?? [])]
      .filter(([name]) => !ignoreAttributes.test(name))
      .map(([name, value]) => `${name}=${Buffer.from(value).toString("hex")}`)
      .sort();
    lines.push(
      [
        textOfRaw(path),
        stats.mode.toString(8),
        stats.uid,
        stats.gid,
        stats.mtimeMs / 1000,
        what,
        first === path ? "" : `= ${first}`,
        ...xattrs,
      ].join(" | "),
    );
    if (stats.isDirectory()) for (const name of readdirSync(host, { encoding: "latin1" }).sort()) visit(joinRaw(path, name));
  };
  visit("");
  return lines;
}

/** An OCI layout with one image of these layers; good enough for umoci and skopeo. */
export function makeLayout(folder: string, layers: readonly string[], tag = "image"): void {
  const blobs = join(folder, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const put = (bytes: Uint8Array): { readonly digest: string; readonly size: number } => {
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const json = (value: unknown): { readonly digest: string; readonly size: number } => put(Buffer.from(JSON.stringify(value)));
  const tars = layers.map((layer) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar", ...put(readFileSync(layer)) }));
  const config = json({
    architecture: "amd64",
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: tars.map(({ digest }) => digest) },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
    layers: tars,
  });
  writeFileSync(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const index = {
    schemaVersion: 2,
    manifests: [
      { mediaType: "application/vnd.oci.image.manifest.v1+json", ...manifest, annotations: { "org.opencontainers.image.ref.name": tag } },
    ],
  };
  writeFileSync(join(folder, "index.json"), JSON.stringify(index));
}

/** What umoci makes of the layers. */
export function umociUnpack(layers: readonly string[], work: string): string {
  const layout = join(work, "layout");
  makeLayout(layout, layers);
  execFileSync("umoci", ["unpack", "--image", `${layout}:image`, join(work, "bundle")], { stdio: ["ignore", "ignore", "pipe"] });
  return join(work, "bundle/rootfs");
}

export const hasProgram = (name: string): boolean =>
  (process.env["PATH"] ?? "").split(":").some((folder) => statSync(join(folder, name), { throwIfNoEntry: false })?.isFile() === true);
