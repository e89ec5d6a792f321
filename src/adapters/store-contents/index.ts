export { hashBlob, localStoreContents } from "./store-contents.ts";
