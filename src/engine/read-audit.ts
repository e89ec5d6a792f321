import { isSha256, shortDigest, type Sha256 } from "../core/digest.ts";
import type { AuditRecord } from "../core/audit/record.ts";
import { BakehouseError } from "../core/errors.ts";
import type { Catalog } from "../ports/catalog.ts";
import type { Ledger, LedgerVerdict } from "../ports/ledger.ts";

interface AuditParts {
  catalog(): Promise<Pick<Catalog, "ledger">>;
}

/** The newest records of the audit log, the newest last. @param options.subject  only about images whose digest begins so, or a recipe */
export async function readAudit(
  parts: AuditParts,
  options: { readonly limit: number; readonly subject?: string },
): Promise<readonly AuditRecord[]> {
  const { ledger } = await parts.catalog();
  const { subject } = options;
  const records = (await ledger.records()).filter((record) => subject === undefined || isAbout(record, subject));
  return records.slice(-options.limit);
}

function isAbout(record: AuditRecord, wanted: string): boolean {
  const { subject, details } = record;
  if (subject === wanted || (isSha256(subject) && subject.slice(7).startsWith(wanted.replace(/^sha256:/, "")))) return true;
  if (details === null || !("name" in details)) return false;
  const { name } = details;
  const channel = "channel" in details ? details.channel : undefined;
  return (
    name === wanted ||
    name.split("/")[0] === wanted ||
    (channel !== undefined && [`${name}@${channel}`, `${name.split("/")[0] ?? ""}@${channel}`].includes(wanted))
  );
}

/**
 * Whether the audit log, its copy and the tables are as they were written.
 *
 * @param head  `<sequence>:<hash>` or the hash that was noted elsewhere: a log that was replaced as a whole does not hold it
 * @throws AUDIT_BROKEN with the first record of each that is not
 */
export async function verifyAudit(parts: AuditParts, head?: string): Promise<LedgerVerdict> {
  const { ledger } = await parts.catalog();
  const verdict = await ledger.verify();
  const problems = [
    ...verdict.problems.map(({ where, sequence, problem }) => `${WORDS[where]}: record ${sequence} ${problem}`),
    ...(await headProblem(ledger, head)),
  ];
  if (problems.length === 0) return verdict;
  throw new BakehouseError(
    "AUDIT_BROKEN",
    `The audit log is not the one that was written:\n${problems.map((line) => `  ${line}`).join("\n")}`,
    {
      hint: "compare catalog.db and audit.jsonl with a backup of the store; what comes before that record is sound",
      details: { problems: verdict.problems.map((problem) => ({ ...problem })), records: verdict.records },
    },
  );
}

const WORDS = { log: "the log in the catalog", mirror: "its copy, audit.jsonl", tables: "what follows from it" } as const;

async function headProblem(ledger: Ledger, head: string | undefined): Promise<readonly string[]> {
  if (head === undefined) return [];
  const [, sequence, hash] = /^(?:(\d+):)?(sha256:[0-9a-f]{64})$/.exec(head) ?? [];
  if (hash === undefined)
    throw new BakehouseError(
      "USAGE",
      `--head takes what \`audit verify\` printed, such as 9:sha256:… with 64 digits, not ${JSON.stringify(head)}`,
      {
        hint: "bakehouse audit verify",
      },
    );
  const found = (await ledger.records()).find((record) => record.hash === hash);
  if (found !== undefined && (sequence === undefined || found.sequence === Number(sequence))) return [];
  return [
    `the log in the catalog: no record ${sequence === undefined ? "" : `${sequence} `}has the hash ${shortDigest(hash as Sha256)} that was noted`,
  ];
}
