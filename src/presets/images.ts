import { randomBytes } from "node:crypto";
import { spawn } from "node:child_process";
import type { DiffId } from "../core/digest.ts";
import { VERSION } from "../core/version.ts";
import { imagesFromStore } from "../engine/images-from-store.ts";
import type { ListImagesParts } from "../engine/list-images.ts";
import type { OpenShellParts } from "../engine/open-shell.ts";
import type { BakeLogs } from "../ports/bake-logs.ts";
import type { Catalog } from "../ports/catalog.ts";
import type { Clock } from "../ports/host.ts";
import type { ImageExports } from "../ports/image-exports.ts";
import type { ImageImports } from "../ports/image-imports.ts";
import type { ImageMounts } from "../ports/image-mounts.ts";
import type { ImageTrees } from "../ports/image-trees.ts";
import type { StoreContents } from "../ports/store-contents.ts";
import type { Store } from "../ports/store.ts";
import { openLocalStore } from "../adapters/local-store/local-store.ts";

export interface ImagePartsOptions {
  /** Folder of the store; made when it is not there. */
  readonly store: string;
  readonly warn?: (message: string) => void;
}

/** What the commands about images and the store need, each part loaded when it is asked for. */
export interface ImageParts extends Pick<ListImagesParts, "store" | "indexed"> {
  readonly store: Store;
  readonly clock: Clock;
  readonly baker: string;
  readonly tool: string;
  catalog(): Promise<Catalog>;
  trees(): Promise<ImageTrees>;
  mounts(): Promise<ImageMounts>;
  exports(): Promise<ImageExports>;
  imports(): Promise<ImageImports>;
  contents(): Promise<StoreContents>;
  logs(): Promise<BakeLogs>;
  shells(): Promise<OpenShellParts>;
  close(): Promise<void>;
}
