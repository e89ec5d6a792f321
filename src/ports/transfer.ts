import type { Sha256 } from "../core/digest.ts";

export interface TransferRequest {
  /** `http:`, `https:` or `file:`; the first that works is taken. */
  readonly urls: readonly string[];
  /** Where to write; made new. Removed again if the transfer fails. */
  readonly target: string;
  /** What it is, for messages. */
  readonly what: string;
  /** Checked while it comes in. */
  readonly expected?: { readonly sha256: Sha256; readonly sizeBytes?: number };
  readonly signal: AbortSignal;
  /** Bytes so far; starts again at 0 when a server cannot go on where it broke off. */
  readonly onBytes?: (doneBytes: number) => void;
}

/** A file from elsewhere, with retries and resumption. */
export interface Transfer {
  /**
   * @returns the number of bytes, or `missing` when every URL says that it has no such file (404, 410, 403, ENOENT)
   * @throws BakehouseError MIRROR_UNAVAILABLE, DIGEST_MISMATCH, CANCELLED
   */
  download(request: TransferRequest): Promise<{ readonly sizeBytes: number; readonly missing: boolean }>;
}
