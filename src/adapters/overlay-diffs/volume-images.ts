import { rmSync } from "node:fs";
import { diskError, runProgram } from "./run-program.ts";

export interface VolumeRequest {
  /** As unpacked from a diff (or written by `Diffs.write`): whole seconds, no overlay marks. */
  readonly directory: string;
  /** The image file; must not exist. */
  readonly target: string;
  /** Seconds. When the file system says it was made. Files keep their own times. */
  readonly epochSeconds: number;
  readonly signal?: AbortSignal;
  /** Give every file the time `epochSeconds` instead of its own. Default false. */
  readonly oneTime?: boolean;
  /**
   * A process in whose mount namespace `directory` is looked for (`target`, too, so nothing may cover it there): mkfs.erofs
   * resolves its path by name, which leads out of /proc/<pid>/root.
   */
  readonly inNamespaceOf?: number;
}

/**
 * A read-only erofs image. The same directory content gives the same bytes, on any host file system; the one exception is
 * an inode with several `user.` attributes, which file systems list in different orders.
 *
 * @param request.uuid         see `uuidOfDigest`
 * @param request.compression  default none: 0.25 s for 50 MB, against 0.33 s with lz4 and a tenth less space
 * @throws BakehouseError SETUP_INCOMPLETE (erofs-utils), CANCELLED
 */
export async function buildErofs(
  request: VolumeRequest & { readonly uuid: string; readonly compression?: "lz4" | "lz4hc" },
): Promise<void> {
  const compression = request.compression === undefined ? [] : [`-z${request.compression}`];
  // -T gives its time to all files, whatever --preserve-mtime says; the variable only limits theirs to it (seen with erofs-utils 1.5)
  const time = request.oneTime === true ? [`-T${request.epochSeconds}`] : [];
  const environment = request.oneTime === true ? {} : { SOURCE_DATE_EPOCH: String(request.epochSeconds) };
  await build(
    request,
    ["mkfs.erofs", "--quiet", ...compression, ...time, `-U${request.uuid}`, request.target, request.directory],
    environment,
  );
}

/**
 * A read-only squashfs image, reproducible like the erofs one.
 *
 * @param request.compression  default zstd at level 3: level 15, the program's own default, takes forty times as long for a tenth less
 * @throws BakehouseError SETUP_INCOMPLETE (squashfs-tools), CANCELLED
 */
export async function buildSquashfs(request: VolumeRequest & { readonly compression?: "zstd" | "lz4" }): Promise<void> {
  const compression = (request.compression ?? "zstd") === "lz4" ? ["-comp", "lz4"] : ["-comp", "zstd", "-Xcompression-level", "3"];
  await build(request, [
    "mksquashfs",
    request.directory,
    request.target,
    "-noappend",
    ...compression,
    "-mkfs-time",
    String(request.epochSeconds),
    ...(request.oneTime === true ? ["-all-time", String(request.epochSeconds)] : []),
    "-no-progress",
    "-quiet",
  ]);
}

async function build(request: VolumeRequest, argv: readonly [string, ...string[]], extra: NodeJS.ProcessEnv = {}): Promise<void> {
  // mksquashfs refuses to run when both this and its own options say the time
  const { SOURCE_DATE_EPOCH: _, ...environment } = process.env;
  const { inNamespaceOf: holder } = request;
  try {
    await runProgram(holder === undefined ? argv : ["nsenter", "--target", String(holder), "--mount", "--", ...argv], {
      environment: { ...environment, ...extra },
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    });
  } catch (error) {
    rmSync(request.target, { force: true });
    throw diskError(error, request.target);
  }
}
