export { localStoreContents } from "./store-contents.ts";
