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

/** What a signature is worth: see `Trust`. */
export type SignatureVerdict = "signed" | "unknown-key" | "bad-signature";

/** Tells signatures by trusted keys from others. */
export interface KeyTrust {
  /** `unknown-key`: not trusted here (never seen, or retired). */
  verify(keyId: string, message: Uint8Array, signature: Uint8Array): SignatureVerdict;
}

export interface Keys extends KeyTrust {
  /** The newest first. */
  list(): readonly KeyInfo[];
  /** Signs with the current key; makes one when there is none. @throws KEY_INVALID, STORE_READ_ONLY */
  sign(message: Uint8Array): Promise<{ readonly keyId: string; readonly signature: Uint8Array }>;
  /** A new key that signs from now on; the one before still verifies. */
  make(name: string): Promise<KeyInfo>;
  /**
   * Takes a PEM in: a private key (PKCS #8), or a public one (SPKI), which only verifies. A private one signs from now on when
   * `signs` is asked for or no other does. @throws KEY_INVALID
   */
  take(pem: string, options: { readonly name: string; readonly signs: boolean }): Promise<KeyInfo>;
  /** What it signed is trusted no longer; when it was the one that signs, the next signature makes a new one. */
  retire(id: string): Promise<KeyInfo>;
  /** The public half, PEM (SPKI). @throws KEY_INVALID when it is not here */
  publicKey(id: string): string;
}
