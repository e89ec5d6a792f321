export { MMDEBSTRAP_DIFFERENCES } from "./mmdebstrap-differences.ts";
export { mmdebstrapInstaller } from "./mmdebstrap-installer.ts";
export { ownInstaller } from "./own-installer.ts";
