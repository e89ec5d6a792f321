export { overlayDiffs, treeDigest, writeDirectoryTar } from "./overlay-diffs.ts";
export { type ReadEntriesOptions, readTarEntries } from "./read-entries.ts";
export { archives, unpackArchive, type UnpackArchiveOptions } from "./unpack-archive.ts";
export { buildErofs, buildSquashfs, type VolumeRequest } from "./volume-images.ts";
export { runProgram } from "./run-program.ts";
export { withoutOverlayMarks } from "./extended-attributes.ts";
