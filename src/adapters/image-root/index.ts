export { hostImageRoot } from "./image-root.ts";
