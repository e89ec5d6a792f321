export { localBootParts } from "./boot-parts.ts";
