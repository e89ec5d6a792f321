import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { writeAtomically } from "../local-store/files.ts";

/** A file of public keys in the binary form that gpgv reads. */
export interface Keyring {
  readonly path: string;
  /** Hex digest of its content: other keys mean that what was verified has to be verified again. */
  readonly digest: string;
  /** As people know it. */
  readonly shown: string;
}

const DEBIAN_KEYRINGS = ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];
const TRUSTED_PARTS = "/etc/apt/trusted.gpg.d";

/**
 * The keys that Debian signs with.
 *
 * @param given  another keyring to use instead
 * @throws BakehouseError SETUP_INCOMPLETE
 */
export function debianKeyring(cacheFolder: string, given?: string): Keyring {
  const found = (given === undefined ? DEBIAN_KEYRINGS : [given]).find((path) => existsSync(path));
  if (found !== undefined) return keyringOf([found], found, cacheFolder);
  const parts = existsSync(TRUSTED_PARTS) ? readdirSync(TRUSTED_PARTS).filter((name) => /^debian-archive-.*\.(asc|gpg)$/.test(name)) : [];
  if (parts.length > 0 && given === undefined)
    return keyringOf(
      parts.sort().map((name) => join(TRUSTED_PARTS, name)),
      TRUSTED_PARTS,
      cacheFolder,
    );
  throw new BakehouseError("SETUP_INCOMPLETE", "Debian's archive keys are not on this machine, so nothing from a mirror can be verified", {
    hint: "apt-get install debian-archive-keyring",
  });
}

/**
 * The keys of a recipe's repository.
 *
 * @param shown  the path as the recipe has it
 * @throws BakehouseError INPUT_INVALID when there is no such file or it holds no key
 */
export function recipeKeyring(path: string, shown: string, cacheFolder: string): Keyring {
  if (!existsSync(path))
    throw new BakehouseError("INPUT_INVALID", `keyFile ${shown} is not there`, { hint: "the path is relative to the recipe's folder" });
  return keyringOf([path], shown, cacheFolder);
}

function keyringOf(paths: readonly string[], shown: string, cacheFolder: string): Keyring {
  const binary = Buffer.concat(paths.map((path) => toBinary(readFileSync(path), shown)));
  const digest = createHash("sha256").update(binary).digest("hex");
  const path = join(cacheFolder, `${digest}.gpg`);
  if (!existsSync(path)) {
    mkdirSync(dirname(path), { recursive: true });
    writeAtomically(path, binary);
  }
  return { path, digest, shown };
}

/** Takes the ASCII armour off (RFC 9580 §6.2); several blocks in one file are put together. */
function toBinary(content: Buffer, shown: string): Buffer {
  const isBinary = ((content[0] ?? 0) & 0x80) !== 0 || content.subarray(8, 12).toString("latin1") === "KBXf";
  if (isBinary) return content;
  const blocks = [
    ...content.toString("latin1").matchAll(/^-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)^-----END PGP PUBLIC KEY BLOCK-----/gms),
  ];
  if (blocks.length === 0)
    throw new BakehouseError("INPUT_INVALID", `keyFile ${shown} holds no OpenPGP public key`, {
      hint: "gpg --export --armor KEY > FILE makes one",
    });
  return Buffer.concat(blocks.map(([, body = ""]) => Buffer.from(base64Of(body), "base64")));
}

/** Without the header lines before the first empty line, and without the checksum line at the end. */
function base64Of(body: string): string {
  const lines = body.split(/\r?\n/);
  const blank = lines.findIndex((line) => line.trim() === "");
  return lines
    .slice(blank + 1)
    .filter((line) => !line.startsWith("="))
    .join("");
}
