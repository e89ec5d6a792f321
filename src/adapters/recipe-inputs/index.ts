export { hashInputs, type InputManifest, type ManifestEntry } from "./hash-inputs.ts";
export { recipeInputs } from "./recipe-inputs.ts";
export { openStatCache, type StatCache } from "./stat-cache.ts";
