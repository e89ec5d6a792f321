/** A key for signing papers: ed25519. */
export interface KeyInfo {
  /** SHA-256 of the public key (DER, SubjectPublicKeyInfo), 64 hex digits. */
  readonly id: string;
  readonly name: string;
  readonly madeAt: string;
  /** Which one signs; the others only verify. */
  readonly signs: boolean;
  /** Whether the private half is here. */
  readonly hasPrivate: boolean;
  /** Since when it is no longer trusted, ISO 8601; absent for a trusted one. */
  readonly retiredAt?: string;
}

export interface Keys {
  list(): readonly KeyInfo[];
  /** Signs with the current key; makes one when there is none. */
  sign(message: Uint8Array): Promise<{ readonly keyId: string; readonly signature: Uint8Array }>;
  /** `unknown-key`: not trusted here (never seen, or retired). */
  verify(keyId: string, message: Uint8Array, signature: Uint8Array): "signed" | "unknown-key" | "bad-signature";
}
