export { checkTreeAt, openCheckTree } from "./check-tree.ts";
export { deriveTree } from "./derive-tree.ts";
export { hostPrograms } from "./host-programs.ts";
export { knownSecrets } from "./known-secrets.ts";
