/** A SHA-256 content name: `sha256:` and 64 lower-case hex digits. */
export type Sha256 = `sha256:${string}`;
/** Names an image: the digest of its OCI manifest. */
export type ImageDigest = Sha256;
/** Names a diff: the digest of its uncompressed, normalised tar (the OCI diffID). */
export type DiffId = Sha256;

const PATTERN = /^sha256:[0-9a-f]{64}$/;

export const isSha256 = (text: string): text is Sha256 => PATTERN.test(text);

/** The 64 hex digits without the `sha256:` prefix: the file name of a blob. */
export const hexOf = (digest: Sha256): string => digest.slice("sha256:".length);

/** Twelve hex digits, for people. */
export const shortDigest = (digest: Sha256): string => hexOf(digest).slice(0, 12);
