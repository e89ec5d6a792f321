export { packageDownloader } from "./package-downloader.ts";
export { packageSet } from "./package-set.ts";
export { localPackageStore, type LocalPackageStore } from "./package-store.ts";
export { createTransfer, type TransferOptions } from "./transfer.ts";
