export { ownInstaller } from "./own-installer.ts";
