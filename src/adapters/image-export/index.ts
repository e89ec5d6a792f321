export { localImageExports } from "./image-exports.ts";
