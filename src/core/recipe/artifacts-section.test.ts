import { describe, expect, it } from "vitest";
import { artifactSchema, recipeArtifact } from "./artifacts-section.ts";

describe("artifacts of a layer", () => {
  it.each([
    [{ format: "qcow2" }, { format: "qcow2", root: "erofs", sizeBytes: 0, dataBytes: 0, append: [] }],
    [
      { format: "raw", root: "squashfs", size: "8GiB", data: "512MiB", append: ["quiet"] },
      { format: "raw", root: "squashfs", sizeBytes: 8 * 1024 ** 3, dataBytes: 512 * 1024 ** 2, append: ["quiet"] },
    ],
    [{ format: "oci" }, { format: "oci", root: "erofs", sizeBytes: 0, dataBytes: 0, append: [] }],
  ])("%o are read", (written, read) => expect(recipeArtifact(artifactSchema.parse(written))).toEqual(read));

  it.each([
    [{ format: "iso" }, "format"],
    [{ format: "raw", size: "8GB" }, "size"],
    [{ format: "raw", root: "ext4", data: "1GiB" }, "data"],
    [{ format: "tar", root: "erofs" }, "root"],
    [{ format: "raw", append: ["two words"] }, "append"],
    [{ format: "raw", colour: "red" }, "colour"],
  ])("%o are refused for %s", (written, key) => {
    const result = artifactSchema.safeParse(written);
    expect(result.success).toBe(false);
    expect(JSON.stringify(result.error?.issues)).toContain(key);
  });
});
