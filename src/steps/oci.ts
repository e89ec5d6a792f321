import { z } from "zod";
import { defineStep } from "../core/step.ts";

/** `oci:folder`, `oci:folder:tag`, `docker://host/name:tag`, `docker://host/name@sha256:…` */
const REFERENCE = /^(?:oci:(?!\/)[^\s\0]+|docker:\/\/[^\s\0/]+\/[^\s\0]+)$/;

const reference = () =>
  z
    .string()
    .regex(REFERENCE, 'write "oci:folder[:tag]" with a folder beside the recipe, or "docker://host/name:tag"')
    .refine(
      (text) => !text.startsWith("oci:") || !text.slice("oci:".length).split(/[/:]/).includes(".."),
      "leads out of the recipe's folder: copy the image into it",
    );

const settings = z.strictObject({
  image: reference().describe("`oci:folder[:tag]` (an OCI layout beside the recipe) or `docker://host/name:tag` (a registry)"),
});
const options = z.union([reference().describe("The image"), settings]);

const imageOf = (value: z.output<typeof options>): string => (typeof value === "string" ? value : value.image);

/** A foundation from an OCI image that somebody else has made. */
export const oci = defineStep({
  id: "oci",
  version: 1,
  role: "foundation",
  summary: "Start from an OCI image: a layout on disk or a registry",
  description: `Takes the file system of an OCI (or Docker) image for linux/amd64 as the foundation.

- \`bakehouse lock\` resolves the reference to a digest and keeps the layers; a bake uses that digest, whatever the tag has become, and needs no registry.
- Layers are applied in order, with their whiteouts. The image's entry point, command, environment and user are for containers and are not taken: a machine boots systemd.
- Images for containers often have no kernel, init or users of their own; the layers above install what a machine needs.`,
  examples: [`- oci: oci:vendor/base:stable`, `- oci:\n    image: docker://registry.example/team/base:12`],
  options,
  needs: ["archives", "oci"],
  requires: (value) => ({ image: imageOf(value) }),
  run: async ({ archives, oci: image, log, progress, signal }) => {
    const layers = await image.layers();
    for (const [index, layer] of layers.entries()) {
      signal.throwIfAborted();
      progress({ message: `layer ${index + 1} of ${layers.length}`, fraction: index / layers.length });
      await archives.unpack(layer.hostPath, { whiteouts: true, devices: true });
    }
    log(`${layers.length} layers of ${image.digest}`);
  },
});
