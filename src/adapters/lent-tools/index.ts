export { extractLentTools, lentDigest, lentFolder, NO_LENT_TOOLS } from "./lent-tools.ts";
export { restoreLentDirectories } from "./restore-directories.ts";
