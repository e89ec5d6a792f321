/** A program that stands before the image's own in PATH while dpkg runs. It lies in memory and is never in the image. */
export interface Shim {
  readonly name: string;
  readonly script: string;
  /** `safety`: the image must not have what the program makes. `speed`: the result is the same, only sooner. */
  readonly purpose: "safety" | "speed";
  /** What it does, and why the result is the same or must differ; for the documentation. */
  readonly reason: string;
  /**
   * Stands only before a program with exactly this content: one that was read and rewritten for its common cases. Any
   * other version runs as it is, which is slower and never wrong.
   */
  readonly replaces?: { readonly path: string; readonly sha256: string };
}
