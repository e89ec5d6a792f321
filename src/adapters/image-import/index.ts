export { localImageImports } from "./image-imports.ts";
