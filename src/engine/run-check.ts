import type { CheckAnswer, CheckDefinition, CheckNeed } from "../core/checks/check.ts";
import { platformOf } from "../core/checks/check.ts";
import type { DeclaredCheck } from "../core/checks/declared-check.ts";
import type { CheckPlatform, CheckResult } from "../core/checks/verdict.ts";
import type { ImageDigest } from "../core/digest.ts";
import type { JsonValue } from "../core/json.ts";
import type { CheckServices } from "../ports/check-services.ts";
import type { Clock } from "../ports/host.ts";

/** A check together with the code that carries it out. */
export interface BoundCheck {
  readonly declared: DeclaredCheck;
  readonly definition: CheckDefinition;
  readonly options: unknown;
  readonly platform: CheckPlatform;
}

export interface RunCheckRequest {
  readonly image: { readonly digest: ImageDigest; readonly name: string };
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** What the check asked for, and may have on its platform. */
  readonly services: Partial<CheckServices>;
  onProgress(message: string): void;
}

export function bindCheck(declared: DeclaredCheck, definition: CheckDefinition): BoundCheck {
  const options = definition.options.parse(declared.options);
  return { declared, definition, options, platform: platformOf(definition, options) };
}

/** What a check may have on its platform: the other one is not even opened for it. */
export function grantedNeeds({ definition, platform }: BoundCheck): readonly CheckNeed[] {
  return definition.needs.filter((need) => (need === "cell" ? platform === "cell" : need !== "tree" || platform === "tree"));
}

/**
 * Asks until the answer is good, the attempts are used up, or another one would prove nothing.
 *
 * @returns never throws: a check that broke or hung has given no answer, which is the verdict `error`
 */
export async function runCheck(bound: BoundCheck, request: RunCheckRequest): Promise<CheckResult> {
  const { clock, signal } = request;
  const { declared, definition } = bound;
  const retries = declared.retries ?? definition.defaults.retries;
  const intervalMs = declared.intervalMs ?? definition.defaults.intervalMs;
  const timeoutMs = declared.timeoutMs ?? definition.defaults.timeoutMs;
  const startedAt = clock.now().toISOString();
  const startedMs = clock.elapsedMs();
  let attempts = 0;
  let answer: CheckAnswer;
  for (;;) {
    attempts++;
    answer = await attempt(bound, request, timeoutMs);
    if (answer.verdict === "passed" || answer.final === true || attempts > retries || signal.aborted) break;
    request.onProgress(`${answer.summary}; attempt ${attempts + 1} of ${retries + 1}`);
    await sleep(intervalMs, signal).catch(() => undefined);
  }
  return resultOf(bound, answer, {
    attempts,
    startedAt,
    durationMs: clock.elapsedMs() - startedMs,
    asked: { options: declared.options, retries, intervalMs, timeoutMs },
  });
}

interface Timing {
  readonly attempts: number;
  readonly startedAt: string;
  readonly durationMs: number;
  readonly asked: JsonValue;
}

export const resultOf = (
  { declared, platform }: Pick<BoundCheck, "declared" | "platform">,
  answer: CheckAnswer,
  timing: Timing,
): CheckResult => ({
  check: declared.check,
  name: declared.name,
  layer: declared.layer,
  platform,
  verdict: answer.verdict,
  summary: oneLine(answer.summary),
  asked: timing.asked,
  answered: answer.answered ?? null,
  excerpt: answer.excerpt ?? [],
  ...(answer.remedy === undefined ? {} : { remedy: answer.remedy }),
  attempts: timing.attempts,
  startedAt: timing.startedAt,
  durationMs: Math.round(timing.durationMs),
});

/** What a machine answers may hold anything: one line, no control characters. */
const oneLine = (text: string): string => {
  const clean = text.replaceAll(/\p{Cc}+/gu, " ").trim();
  return clean.length > 400 ? `${clean.slice(0, 400)}…` : clean;
};

async function attempt({ definition, options, declared }: BoundCheck, request: RunCheckRequest, timeoutMs: number): Promise<CheckAnswer> {
  const stop = new AbortController();
  const signal = AbortSignal.any([request.signal, stop.signal]);
  const context = {
    options,
    image: request.image,
    timeoutMs,
    signal,
    files: declared.files ?? {},
    elapsedMs: () => request.clock.elapsedMs(),
    sleep: (milliseconds: number) => sleep(milliseconds, signal),
    ...request.services,
  };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<CheckAnswer>((resolve) => {
    timer = setTimeout(
      () =>
        resolve({
          verdict: "error",
          summary: `no answer within ${timeoutMs} ms`,
          remedy: "`timeout:` beside the check gives it longer",
        }),
      timeoutMs,
    );
  });
  const work = (async () => definition.run(context as Parameters<CheckDefinition["run"]>[0]))().catch((cause: unknown): CheckAnswer => ({
    verdict: "error",
    summary: cause instanceof Error ? cause.message : String(cause),
  }));
  try {
    // Whoever goes on after the time is over is not waited for: the cell that it asks ends with the run.
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    stop.abort(new Error("the attempt is over"));
  }
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  if (milliseconds <= 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
  });
}
