import type { NotifyTarget } from "../core/notices/target.ts";
import type { Messenger } from "../ports/messenger.ts";
import type { Delivery, NoticeLog } from "../ports/notice-log.ts";

/** What is needed of a recipe to tell others about it. */
export interface NotifyPlace {
  readonly folder: string;
  readonly targets: readonly NotifyTarget[];
  /** @throws SECRET_MISSING */
  secret(name: string): string;
}

export interface DeliverParts {
  readonly notices: NoticeLog;
  readonly messenger: Messenger;
  /** Undefined when the recipe is gone or cannot be read now. */
  place(file: string): NotifyPlace | undefined;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** At most so many at one go; the rest with the next. */
const AT_ONCE = 500;

/**
 * Delivers what is pending, also what earlier processes left: to each target in order, different targets side by side. A failure is
 * recorded with the delivery and never thrown: telling others must not fail the work that is told of.
 *
 * @returns what was given up
 */
export async function deliverNotices(parts: DeliverParts, signal: AbortSignal): Promise<readonly Delivery[]> {
  const queues = new Map<string, Delivery[]>();
  for (const delivery of await parts.notices.pending(AT_ONCE)) {
    const key = `${delivery.file}\0${delivery.target}`;
    queues.set(key, [...(queues.get(key) ?? []), delivery]);
  }
  const places = new Map<string, NotifyPlace | undefined>();
  const failed: Delivery[] = [];
  await Promise.all(
    [...queues.values()].map(async (queue) => {
      for (const delivery of queue) {
        if (signal.aborted) return;
        const { file } = delivery;
        if (!places.has(file)) places.set(file, parts.place(file));
        const settled = await deliver(parts, places.get(file), delivery, signal);
        if (settled === undefined) return;
        await parts.notices.settle(settled);
        if (settled.outcome === "failed") failed.push(settled);
      }
    }),
  );
  return failed;
}

/** @returns undefined when it was stopped meanwhile: then it stays pending */
async function deliver(
  parts: DeliverParts,
  place: NotifyPlace | undefined,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<Delivery | undefined> {
  const target = place?.targets.find(({ name }) => name === delivery.target);
  if (place === undefined || target === undefined)
    return { ...delivery, outcome: "failed", message: `the recipe no longer has notify.${delivery.target}` };
  for (let attempts = delivery.attempts + 1; ; attempts++) {
    const problem = await tryOnce(parts.messenger, place, target, delivery, signal);
    if (problem === undefined) return { notice: delivery.notice, file: delivery.file, target: target.name, outcome: "delivered", attempts };
    if (signal.aborted) return undefined;
    if (attempts > target.retries) return { ...delivery, outcome: "failed", attempts, message: problem };
    await parts.notices.settle({ ...delivery, attempts, message: problem });
    await parts.sleep(backoffMs(attempts), signal);
    if (signal.aborted) return undefined;
  }
}

/** 1 s, 2 s, 4 s …, at most half a minute (a guess): a receiver that restarts is back by then. */
const backoffMs = (attempts: number): number => Math.min(1000 * 2 ** (attempts - 1), 30_000);

/** @returns why it did not work */
async function tryOnce(
  messenger: Messenger,
  { folder, secret }: NotifyPlace,
  { to, timeoutMs }: NotifyTarget,
  { notice }: Delivery,
  signal: AbortSignal,
): Promise<string | undefined> {
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const signed = to.kind === "webhook" && to.secret !== undefined ? { secret: secret(to.secret) } : {};
    const message = { id: notice.id, type: notice.type, body: JSON.stringify(notice) };
    await messenger.send(message, to, { folder, ...signed, signal: AbortSignal.any([signal, timeout]) });
    return undefined;
  } catch (error) {
    if (timeout.aborted) return `no answer within ${timeoutMs / 1000} s`;
    return error instanceof Error ? error.message : String(error);
  }
}
