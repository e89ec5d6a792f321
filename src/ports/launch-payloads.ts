import type { FileRequest } from "../core/step.ts";
import type { InputHasher } from "./host.ts";

/** Lays out what a launch needs, to be packed into one tarball. */
export interface LaunchPayloads {
  /**
   * Copies files of a recipe's folder to the same paths below a directory, which is made new, owned by who runs this, mode
   * 0644, or 0755 if executable; and writes texts beside them.
   *
   * @throws INPUT_INVALID
   */
  stage(request: {
    readonly hasher: Pick<InputHasher, "inputs">;
    readonly folder: string;
    readonly files: readonly FileRequest[];
    /** Path → content. */
    readonly texts: Readonly<Record<string, string>>;
    readonly directory: string;
  }): void;
}
