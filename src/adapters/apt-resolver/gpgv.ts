import { runProgram } from "./run-program.ts";

export type Verdict =
  | { readonly kind: "good"; readonly keys: readonly string[] }
  /** `keys`: ids of the keys that the signature names. */
  | {
      readonly kind: "bad" | "unknown-key" | "expired-key" | "revoked-key" | "expired-signature" | "weak" | "unsigned";
      readonly keys: readonly string[];
    };

/** MD5, SHA-1, RIPEMD-160 (RFC 9580 §9.5): a signature over these proves nothing any more. */
const WEAK_HASHES = new Set(["1", "2", "3"]);

/**
 * Has gpgv check a signature.
 *
 * @param files  a clear-signed file, or a detached signature and what it signs
 * @param output  for a clear-signed file: where the text goes that the signature is of, and nothing else of the file
 */
export async function verifySignature(
  files: readonly [string] | readonly [string, string],
  options: { readonly keyring: string; readonly output?: string; readonly signal: AbortSignal },
): Promise<Verdict> {
  const output = options.output === undefined ? [] : ["--output", options.output];
  const { stdout } = await runProgram(["gpgv", "--status-fd", "1", "--keyring", options.keyring, ...output, ...files], {
    debianPackage: "gpgv",
    signal: options.signal,
  });
  return readStatus(stdout);
}

/** gpgv's exit code says "good" for an expired key and "bad" for a second signature by an unknown one, so its words decide. */
function readStatus(status: string): Verdict {
  const lines = status.split("\n").flatMap((line) => (line.startsWith("[GNUPG:] ") ? [line.slice(9).split(" ")] : []));
  const keysOf = (word: string): readonly string[] => lines.filter(([name]) => name === word).map(([, key = ""]) => key);
  const has = (word: string): boolean => lines.some(([name]) => name === word);
  const valid = lines.filter(([name]) => name === "VALIDSIG");
  // Two signed messages in one file: the text that comes out might be the other one's.
  if (lines.filter(([name]) => name === "PLAINTEXT").length > 1 || has("BADSIG")) return { kind: "bad", keys: keysOf("BADSIG") };
  const good = keysOf("GOODSIG");
  const strong = valid.filter((fields) => !WEAK_HASHES.has(fields[8] ?? "1")).map(([, fingerprint = ""]) => fingerprint);
  const proven = good.filter((key) => strong.some((fingerprint) => fingerprint.endsWith(key)));
  if (proven.length > 0) return { kind: "good", keys: proven };
  if (good.length > 0) return { kind: "weak", keys: good };
  if (has("EXPKEYSIG")) return { kind: "expired-key", keys: keysOf("EXPKEYSIG") };
  if (has("REVKEYSIG")) return { kind: "revoked-key", keys: keysOf("REVKEYSIG") };
  if (has("EXPSIG")) return { kind: "expired-signature", keys: keysOf("EXPSIG") };
  if (has("NO_PUBKEY")) return { kind: "unknown-key", keys: keysOf("NO_PUBKEY") };
  return { kind: "unsigned", keys: [] };
}
