import { createServer, type RequestListener } from "node:http";
import { localCells } from "../../src/adapters/cells/index.ts";
import { localImageTrees } from "../../src/adapters/image-trees/index.ts";
import { FABRIC } from "../../src/core/cell/fabric.ts";
import { readImage } from "../../src/engine/image-content.ts";
import type { Store } from "../../src/ports/store.ts";

export interface CellOptions {
  readonly store: Store;
  /** Name or digest of an image, or of a volume, which is mounted in its root image. */
  readonly image: string;
  /** Files that the machine is given beside the image: path → content. */
  readonly files?: Readonly<Record<string, string | Buffer>>;
  /** Answers HTTP at `SERVER` in the cell's network, from before it boots. */
  readonly serve?: RequestListener;
  /** systemd credentials by name. */
  readonly credentials?: Readonly<Record<string, string>>;
}

export interface Cell {
  /** Asks until something answers with a status below 500. @throws with the console after 90 s */
  fetch(url: string): Promise<{ readonly status: number; readonly body: string }>;
  /** Waits until systemd has started everything; `running`, or `degraded` when a unit has failed. @throws after 120 s */
  booted(): Promise<string>;
  /** Runs a program inside; its output. @throws when it fails */
  run(...argv: readonly string[]): Promise<string>;
  /** Everything that the console has shown. */
  console(): string;
  /** Ends the machine and removes what it was given. */
  stop(): Promise<void>;
}

const PORT = 8999;
export const SERVER = `http://${FABRIC.gateway}:${PORT}`;

/** Boots an image as a cell that ends with this process, with calls that throw what a test wants to read. */
export async function bootCell(options: CellOptions): Promise<Cell> {
  const { entry, name, source } = readImage(options.store, options.image);
  const server = createServer(options.serve);
  const cell = await localCells(options.store, localImageTrees(options.store)).start(
    {
      image: { digest: entry.digest, name },
      source,
      purpose: "check",
      publish: [],
      files: options.files ?? {},
      ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
      ...(options.serve === undefined ? {} : { serve: [{ port: PORT, onConnection: (socket) => void server.emit("connection", socket) }] }),
    },
    new AbortController().signal,
  );
  const failure = (what: string): Error => new Error(`${what}\n${cell.console().split("\n").slice(-60).join("\n")}`);
  return {
    console: () => cell.console(),
    stop: async () => {
      await cell.stop();
      server.closeAllConnections();
    },
    fetch: async (url) => {
      let last = "";
      for (const end = Date.now() + 90_000; Date.now() < end; await new Promise((go) => setTimeout(go, 100))) {
        try {
          const { status, body } = await cell.http({ url, timeoutMs: 10_000 });
          if (status < 500) return { status, body };
          last = `${status} ${body.slice(0, 200)}`;
        } catch (error) {
          last = String(error);
          if (!cell.isAlive()) break;
        }
      }
      throw failure(`${url} did not answer: ${last}`);
    },
    booted: async () => {
      const state = await cell.booted(120_000);
      if (state === "running" || state === "degraded") return state;
      throw failure(`the machine is ${state}`);
    },
    run: async (...argv) => {
      const { code, stdout, stderr } = await cell.exec(argv, { timeoutMs: 120_000 });
      if (code !== 0) throw failure(`${argv.join(" ")} → ${code}\n${stdout}${stderr}`);
      return stdout;
    },
  };
}
