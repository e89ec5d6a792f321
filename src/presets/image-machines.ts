import type { ExportImageParts } from "../engine/export-image.ts";
import type { ImageMachineParts } from "../engine/image-machine.ts";
import type { BootParts } from "../ports/boot-parts.ts";
import type { Store } from "../ports/store.ts";
import { localDiskImages, storedContents } from "../adapters/artifacts/index.ts";
import { localBootParts } from "../adapters/boot-parts/index.ts";
import { localImageExports } from "../adapters/image-export/index.ts";
import { hostImageRoot } from "../adapters/image-root/image-root.ts";
import { localImageTrees } from "../adapters/image-trees/index.ts";
import { newBakeId } from "../adapters/local-host/clock.ts";
import { qemuMachines } from "../adapters/machines/index.ts";

/** What starts virtual machines from the images of a store. */
export function imageMachinesOf(store: Store): ImageMachineParts {
  const bootParts = localBootParts();
  const exporting = { store, trees: localImageTrees(store), exports: localImageExports(store), contents: storedContents(store) };
  return imageMachineParts({ ...exporting, disks: localDiskImages(bootParts) }, bootParts);
}

/** The same, of parts that are there. */
export function imageMachineParts(exporting: ExportImageParts, bootParts: BootParts): ImageMachineParts {
  return {
    ...{ ...exporting, bootParts, machines: qemuMachines(exporting.store), imageRoot: hostImageRoot },
    newId: () => `machine-parts-${newBakeId(new Date())}`,
  };
}
