import { type Sha256, shortDigest } from "../../core/digest.ts";
import type { Terminal } from "../terminal.ts";
import { formatBytes, formatDuration, table } from "../text.ts";

export interface BakedLayerRow {
  readonly layer: string;
  /** All steps came from the cache, or at least one was baked. */
  readonly cached: boolean;
  readonly durationMs: number;
  readonly sizeBytes: number;
  readonly digest: Sha256;
  readonly hermetic: boolean;
}

/** The table at the end of a bake: layer, hit or baked, seconds, size, digest. */
export function bakeTable(rows: readonly BakedLayerRow[], terminal: Terminal): string {
  const { dim, green, yellow } = terminal.colors;
  const cells = rows.map(({ layer, cached, durationMs, sizeBytes, digest, hermetic }) => [
    layer,
    cached ? dim("hit") : green("baked"),
    cached ? "" : formatDuration(durationMs),
    formatBytes(sizeBytes),
    shortDigest(digest),
    ...(hermetic ? [] : [yellow("not hermetic")]),
  ]);
  const columns = [
    { title: "layer", minimum: 8 },
    { title: "" },
    { title: "time", align: "right" },
    { title: "size", align: "right" },
    { title: "digest" },
    ...(rows.every(({ hermetic }) => hermetic) ? [] : [{ title: "" }]),
  ] as const;
  return table(columns, cells, { width: terminal.columns, styleTitle: dim });
}
