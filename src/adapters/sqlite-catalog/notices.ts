import type { Kysely } from "kysely";
import type { Notice } from "../../core/notices/notice.ts";
import type { Delivery, NoticeLog, NoticeToSend } from "../../ports/notice-log.ts";
import type { CatalogTables } from "./schema.ts";

export function noticesOn(db: Kysely<CatalogTables>): NoticeLog {
  return {
    add: (notices) => db.transaction().execute((transaction) => addNotices(transaction, notices)),
    pending: async (limit) => {
      const rows = await db
        .selectFrom("deliveries")
        .innerJoin("notices", "notices.id", "deliveries.notice")
        .selectAll("deliveries")
        .select("notices.body")
        .where("deliveries.outcome", "=", "pending")
        .orderBy("notices.at")
        .orderBy("notices.id")
        .limit(limit)
        .execute();
      return rows.map((row) => ({ ...deliveryOf(row), notice: JSON.parse(row.body) as Notice }));
    },
    settle: async ({ notice, file, target, outcome, attempts, message }) =>
      void (await db
        .updateTable("deliveries")
        .set({ outcome, attempts, message: message ?? null })
        .where("notice", "=", notice.id)
        .where("file", "=", file)
        .where("target", "=", target)
        .execute()),
    lastId: async (prefix) => {
      const found = await db
        .selectFrom("notices")
        .select("id")
        .where("id", "like", `${prefix}%`)
        .orderBy("id", "desc")
        .limit(1)
        .executeTakeFirst();
      return found?.id;
    },
    list: async (limit) => {
      const notices = await db.selectFrom("notices").selectAll().orderBy("at", "desc").orderBy("id", "desc").limit(limit).execute();
      const rows = await db
        .selectFrom("deliveries")
        .selectAll()
        .where(
          "notice",
          "in",
          notices.map(({ id }) => id),
        )
        .execute();
      return notices.map(({ id, body }) => ({
        notice: JSON.parse(body) as Notice,
        deliveries: rows.filter(({ notice }) => notice === id).map(deliveryOf),
      }));
    },
  };
}

/** Within a transaction of its caller: what happened and that it is to be told become known together. */
export async function addNotices(db: Kysely<CatalogTables>, notices: readonly NoticeToSend[]): Promise<void> {
  for (const { notice, file, targets } of notices) {
    const added = await db
      .insertInto("notices")
      .onConflict((conflict) => conflict.doNothing())
      .values({ id: notice.id, at: Date.parse(notice.time), type: notice.type, subject: notice.subject, body: JSON.stringify(notice) })
      .executeTakeFirst();
    if ((added.numInsertedOrUpdatedRows ?? 0n) === 0n) continue;
    for (const target of targets)
      await db
        .insertInto("deliveries")
        .values({ notice: notice.id, file, target, outcome: "pending", attempts: 0, message: null })
        .execute();
  }
}

const deliveryOf = (row: CatalogTables["deliveries"]): Omit<Delivery, "notice"> => ({
  file: row.file,
  target: row.target,
  outcome: row.outcome as Delivery["outcome"],
  attempts: row.attempts,
  ...(row.message === null ? {} : { message: row.message }),
});
