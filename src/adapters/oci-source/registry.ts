import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { BakehouseError } from "../../core/errors.ts";
import { hexOf, type Sha256 } from "../../core/digest.ts";
import { forThisPlatform, readDocument } from "./manifest.ts";
import { isLocalRegistry, type Reference } from "./reference.ts";

type RegistryReference = Extract<Reference, { kind: "registry" }>;

/** The digest of the linux/amd64 manifest that a registry has for a reference now. */
export async function askRegistry(reference: RegistryReference): Promise<Sha256> {
  const where = `docker://${reference.text}`;
  const raw = await skopeo(["inspect", "--raw", ...tlsVerify("--tls-verify", reference), where], where);
  const document = readDocument(raw.toString("utf8"), where);
  return "manifests" in document
    ? forThisPlatform(document.manifests, where).digest
    : `sha256:${createHash("sha256").update(raw).digest("hex")}`;
}

/**
 * Folder with the image of a digest, as skopeo's `dir:` transport writes it (which keeps manifest and blobs byte for byte,
 * so that digests hold). Fetched once; a broken-off one is never at its place.
 */
export async function fetchImage(reference: RegistryReference, digest: Sha256, cache: string): Promise<string> {
  const place = join(cache, hexOf(digest));
  if (existsSync(place)) return place;
  mkdirSync(cache, { recursive: true });
  const beside = mkdtempSync(`${place}.new-`);
  try {
    const where = `docker://${reference.name}@${digest}`;
    await skopeo(["copy", "--quiet", "--preserve-digests", ...tlsVerify("--src-tls-verify", reference), where, `dir:${beside}`], where);
    renameSync(beside, place);
  } catch (cause) {
    if (!existsSync(place)) throw cause; // else somebody fetched it meanwhile
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
  return place;
}

const tlsVerify = (option: string, { host }: RegistryReference): readonly string[] => (isLocalRegistry(host) ? [`${option}=false`] : []);

/** Manifests are small; anything larger is not one. */
const OUTPUT_LIMIT = 16 << 20;

/** The policy file of a host may be missing; digests are what is trusted here. */
async function skopeo(args: readonly string[], where: string): Promise<Buffer> {
  try {
    const { stdout } = await promisify(execFile)("skopeo", ["--insecure-policy", ...args], { encoding: "buffer", maxBuffer: OUTPUT_LIMIT });
    return stdout;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT")
      throw new BakehouseError("SETUP_INCOMPLETE", `${where}: images of a registry need skopeo`, { hint: "apt-get install skopeo" }, cause);
    const said = String((cause as { stderr?: unknown }).stderr ?? "").trim();
    throw new BakehouseError(
      "MIRROR_UNAVAILABLE",
      `${where}: ${said.split("\n").at(-1) ?? "skopeo failed"}`,
      { hint: "check the name, and `skopeo login` if the registry wants a password" },
      cause,
    );
  }
}
