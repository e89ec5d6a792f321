import { DatabaseSync } from "node:sqlite";
import { statSync } from "node:fs";
import { marksOf, type StoreMarks } from "../../core/audit/marks.ts";
import type { AuditRecord } from "../../core/audit/record.ts";
import type { ImageDigest } from "../../core/digest.ts";
import { auditMirror } from "./audit-mirror.ts";
import { CATALOG_VERSION } from "./schema.ts";

/** The catalog has channels since this version. */
const FIRST_WITH_CHANNELS = 2;

/**
 * Where channels point and what is revoked, without kysely: every command that names an image may ask. From the copy of the audit
 * log when there is no catalog that can be read.
 */
export function readMarks(catalogFile: string, mirrorFile: string): StoreMarks {
  return readTables(catalogFile) ?? marksOf(readMirror(mirrorFile));
}

function readTables(file: string): StoreMarks | undefined {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0) return undefined;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { readOnly: true });
    const { user_version: version } = database.prepare("PRAGMA user_version").get() as { user_version: number };
    if (version < FIRST_WITH_CHANNELS || version > CATALOG_VERSION) return undefined;
    const channels = database.prepare("SELECT name, channel, digest FROM channels ORDER BY name, sequence").all();
    const revocations = database.prepare("SELECT * FROM revocations ORDER BY sequence").all() as unknown as readonly RevocationRow[];
    return {
      channels: channels.map((row) => ({ ...row })) as unknown as StoreMarks["channels"],
      revocations: revocations.map(({ starts_at, at, reaches, ...row }) => ({
        ...row,
        digest: row.digest as ImageDigest,
        from: new Date(starts_at).toISOString(),
        at: new Date(at).toISOString(),
        reaches: JSON.parse(reaches) as readonly ImageDigest[],
      })),
    };
  } catch {
    return undefined;
  } finally {
    database?.close();
  }
}

interface RevocationRow {
  readonly sequence: number;
  readonly digest: string;
  readonly name: string;
  readonly reason: string;
  readonly starts_at: number;
  readonly who: string;
  readonly at: number;
  readonly reaches: string;
}

/** Up to the first line that cannot be read: `audit verify` tells which. */
function readMirror(file: string): readonly AuditRecord[] {
  const records: AuditRecord[] = [];
  for (const line of auditMirror(file).readFrom(0).lines) {
    try {
      records.push(JSON.parse(line) as AuditRecord);
    } catch {
      break;
    }
  }
  return records;
}
