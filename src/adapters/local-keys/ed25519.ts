import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, verify, type KeyObject } from "node:crypto";
import { BakehouseError } from "../../core/errors.ts";
import type { KeyTrust, SignatureVerdict } from "../../ports/keys.ts";

/** A key as a PEM gave it. */
export interface ReadKey {
  readonly id: string;
  readonly publicKey: KeyObject;
  /** Absent for the public half alone. */
  readonly privateKey?: KeyObject;
}

export const publicPem = (key: KeyObject): string => key.export({ type: "spki", format: "pem" }) as string;

export const privatePem = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }) as string;

export function generateKey(): Required<ReadKey> {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return { id: idOf(publicKey), publicKey, privateKey };
}

const idOf = (key: KeyObject): string =>
  createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("hex");

/**
 * Reads a private (PKCS #8) or public (SPKI) ed25519 key.
 *
 * @param where  what to call it in an error: a path
 * @throws KEY_INVALID
 */
export function keyOf(pem: string, where: string): ReadKey {
  const read = ((): { readonly publicKey: KeyObject; readonly privateKey?: KeyObject } => {
    try {
      if (!pem.includes("PRIVATE KEY")) return { publicKey: createPublicKey(pem) };
      const privateKey = createPrivateKey(pem);
      return { publicKey: createPublicKey(privateKey), privateKey };
    } catch (error) {
      const locked = pem.includes("ENCRYPTED");
      throw invalid(where, locked ? "it is protected by a passphrase" : "it is no PEM of a private or public key", error);
    }
  })();
  const type = read.publicKey.asymmetricKeyType;
  if (type !== "ed25519") throw invalid(where, `it is of type ${String(type)}`);
  return { id: idOf(read.publicKey), ...read };
}

const invalid = (where: string, why: string, cause?: unknown): BakehouseError =>
  new BakehouseError(
    "KEY_INVALID",
    `${where} is no ed25519 key: ${why}`,
    { hint: "bakehouse key make, or: openssl genpkey -algorithm ed25519 -out key.pem" },
    cause,
  );

export const verdictOf = (key: KeyObject | undefined, message: Uint8Array, signature: Uint8Array): SignatureVerdict => {
  if (key === undefined) return "unknown-key";
  return verify(null, message, key, signature) ? "signed" : "bad-signature";
};

/** Trusts these keys and no others. */
export function trustOnly(keys: readonly ReadKey[]): KeyTrust {
  const byId = new Map(keys.map((key) => [key.id, key.publicKey]));
  return { verify: (keyId, message, signature) => verdictOf(byId.get(keyId), message, signature) };
}
