export { diskReader } from "./disk-reader.ts";
