import { samplesIn } from "../../core/gates/compare.ts";
import { judgeGate } from "../../core/gates/judge-gate.ts";
import type {
  Comparison,
  GateAnswer,
  GateProbe,
  HeaderValue,
  HttpProbe,
  LogProbe,
  PrometheusProbe,
  Reading,
  Wanted,
} from "../../core/gates/model.ts";
import { linesSince, searchLines } from "../../core/gates/find-lines.ts";
import { fillQuery, fillUrl, isForEachInstance, type GateInstance } from "../../core/gates/placeholders.ts";
import { readPrometheusAnswer, type PrometheusAnswer } from "../../core/gates/prometheus-answer.ts";
import { selfTestGate } from "../../core/gates/self-test.ts";
import { numbersAt } from "../../core/gates/value-path.ts";
import { cut } from "../../core/gates/words.ts";
import { readPattern } from "../../core/text/pattern.ts";
import type { FleetProvider } from "../../ports/fleet-provider.ts";
import type { Baseline, GateBaselines } from "../../ports/gate-baselines.ts";
import type { GateProbes } from "../../ports/gate-probes.ts";
import { fetchJson, parseJson } from "./fetch-json.ts";

export interface GateProbeParts {
  /** Asks instances, and reads their journals. */
  readonly fleet: Pick<FleetProvider, "http" | "logs">;
  /** The value of a secret of the recipe; nothing when it is not there. */
  readonly secret?: (name: string) => string | undefined;
  /** What untouched instances said, for when too few are left. */
  readonly baselines: GateBaselines;
}

/** Instances that are asked at the same time (a guess). */
const AT_ONCE = 16;
/** For the journal of one instance (a guess). */
const JOURNAL_MS = 30_000;

type Subject = GateInstance & { readonly sinceMs?: number };

/** Gates asked over HTTP and of the fleet's own instances. */
export function gateProbes(parts: GateProbeParts): GateProbes {
  const keep = (gate: string, asked: Asked): void => parts.baselines.keep(gate, { ...asked, at: new Date().toISOString() });
  const read = (probe: GateProbe, subjects: readonly Subject[], windowMs: number, signal: AbortSignal): Promise<readonly Reading[]> =>
    subjects.length === 0 && probe.kind !== "windows" ? Promise.resolve([]) : readProbe(parts, probe, subjects, windowMs, signal);

  return {
    ask: (gate, subjects, signal) =>
      neverThrow(async () => {
        const { probe } = gate;
        const windowMs = Math.min(windowOf(probe), ...subjects.moved.map(({ sinceMs }) => sinceMs));
        const comparison = comparisonOf(probe);
        if (comparison === undefined) return judgeGate(gate, { moved: await read(probe, subjects.moved, windowMs, signal), untouched: [] });
        const [moved, untouched] = await Promise.all([
          read(probe, subjects.moved, windowMs, signal),
          read(probe, subjects.untouched, windowMs, signal),
        ]);
        const now = { readings: untouched, instances: subjects.untouched.length };
        if (samplesIn(untouched) >= comparison.minSamples) keep(gate.name, now);
        const { readings, remark } = fuller(now, parts.baselines.read(gate.name));
        const answer = judgeGate(gate, { moved, untouched: readings });
        return remark === undefined ? answer : { ...answer, detail: `${answer.detail}; ${remark}` };
      }),
    selfTest: (gate, untouched, firstWave, signal) =>
      neverThrow(async () => {
        const { probe } = gate;
        const { standIns, others } = divide(untouched, firstWave);
        const readThese = (subjects: readonly Subject[]) => read(probe, subjects, windowOf(probe), signal);
        if (comparisonOf(probe) === undefined) return selfTestGate(gate, { moved: await readThese(standIns), untouched: [] });
        const [moved, rest] = await Promise.all([readThese(standIns), readThese(others)]);
        keep(gate.name, { readings: standIns === others ? rest : [...moved, ...rest], instances: untouched.length });
        return selfTestGate(gate, { moved, untouched: rest });
      }),
  };
}

/** What they say now; what was kept if that is more only because there were more of them. */
function fuller(now: Asked, kept: Baseline | undefined): { readonly readings: readonly Reading[]; readonly remark?: string } {
  const isSilent = now.readings.some((reading) => "problem" in reading);
  if (kept === undefined || isSilent || kept.instances <= now.instances || samplesIn(kept.readings) <= samplesIn(now.readings)) return now;
  const seconds = Math.round((Date.now() - Date.parse(kept.at)) / 1000);
  return { readings: kept.readings, remark: `untouched ones as they were ${seconds} s ago, since too few are left` };
}

type Asked = Omit<Baseline, "at">;

/** As many as the first wave moves stand for moved ones, the others for untouched ones; one alone stands for both. */
function divide(untouched: readonly GateInstance[], firstWave: number) {
  if (untouched.length < 2) return { standIns: untouched, others: untouched };
  const size = Math.max(1, Math.min(firstWave, Math.floor(untouched.length / 2)));
  return { standIns: untouched.slice(0, size), others: untouched.slice(size) };
}

async function neverThrow(ask: () => Promise<GateAnswer>): Promise<GateAnswer> {
  try {
    return await ask();
  } catch (error) {
    return { verdict: "error", detail: `it could not be asked: ${wordsOf(error)}`, data: {} };
  }
}

const wordsOf = (error: unknown): string => cut(error instanceof Error ? error.message : String(error));
const comparisonOf = (probe: GateProbe): Comparison | undefined =>
  "expected" in probe && "compare" in probe.expected ? probe.expected.compare : undefined;
const windowOf = (probe: GateProbe): number => (probe.kind === "prometheus" ? probe.windowMs : Infinity);

function readProbe(
  parts: GateProbeParts,
  probe: GateProbe,
  subjects: readonly Subject[],
  windowMs: number,
  signal: AbortSignal,
): Promise<readonly Reading[]> {
  if (probe.kind === "prometheus") return readPrometheus(parts, probe, subjects, windowMs, signal);
  if (probe.kind === "http") return readHttp(parts, probe, subjects, signal);
  if (probe.kind === "windows") return Promise.resolve([{ from: "clock", at: new Date().toISOString() }]);
  return ofEach(subjects, (subject) => readJournal(parts, probe, subject, signal));
}

async function readHttp(
  { fleet, secret }: GateProbeParts,
  { at, wanted, timeoutMs }: HttpProbe,
  subjects: readonly Subject[],
  signal: AbortSignal,
): Promise<readonly Reading[]> {
  if ("path" in at)
    return ofEach(subjects, async ({ id }) => {
      const answer = fleet.http(id, { port: at.port, path: at.path, timeoutMs });
      const { status, body } = await within(answer, timeoutMs, signal);
      return readJson(id, wanted, status, parseJson(body, status));
    });
  const headers = headersOf(at.headers, secret);
  const ask = async (from: string, url: string): Promise<Reading> => {
    const { status, json } = await fetchJson({ url, headers, timeoutMs }, signal);
    return readJson(from, wanted, status, json);
  };
  if (!isForEachInstance(at.url)) return ofEach([{ id: hostOf(at.url) }], ({ id }) => ask(id, at.url));
  return ofEach(subjects, async (subject) => {
    const filled = fillUrl(at.url, subject);
    return "problem" in filled ? { from: subject.id, problem: filled.problem } : ask(subject.id, filled.url);
  });
}

function readJson(from: string, wanted: Wanted, status: number, json: unknown): Reading {
  if (status < 200 || status > 299) return { from, problem: `it answered ${status}` };
  if ("value" in wanted) {
    const numbers = numbersAt(json, wanted.value);
    return typeof numbers === "string" ? { from, problem: numbers } : { from, numbers };
  }
  const errors = numbersAt(json, wanted.errors);
  const requests = numbersAt(json, wanted.requests);
  if (typeof errors === "string") return { from, problem: errors };
  return typeof requests === "string" ? { from, problem: requests } : { from, errors, requests };
}

async function readPrometheus(
  { secret }: GateProbeParts,
  { server, headers, wanted, timeoutMs }: PrometheusProbe,
  subjects: readonly Subject[],
  windowMs: number,
  signal: AbortSignal,
): Promise<readonly Reading[]> {
  const ask = async (text: string): Promise<PrometheusAnswer> => {
    const filled = fillQuery(text, subjects, windowMs);
    if ("problem" in filled) return filled;
    const request = { url: `${server}/api/v1/query`, headers: headersOf(headers, secret), form: { query: filled.query }, timeoutMs };
    const { status, json } = await fetchJson(request, signal);
    const answer = readPrometheusAnswer(json, filled.names);
    return (status < 200 || status > 299) && !("problem" in answer) ? { problem: `it answered ${status}` } : answer;
  };
  return ofEach([{ id: hostOf(server) }], async ({ id: from }) => {
    if ("value" in wanted) return { from, ...(await ask(wanted.value)) };
    const [errors, requests] = await Promise.all([ask(wanted.errors), ask(wanted.requests)]);
    if ("problem" in errors) return { from, problem: errors.problem };
    if ("problem" in requests) return { from, problem: requests.problem };
    const doubt = errors.doubt ?? requests.doubt;
    return { from, errors: errors.numbers, requests: requests.numbers, ...(doubt === undefined ? {} : { doubt }) };
  });
}

async function readJournal(
  { fleet }: GateProbeParts,
  { pattern: source, unit, lines: most }: LogProbe,
  { id, sinceMs }: Subject,
  signal: AbortSignal,
): Promise<Reading> {
  const pattern = readPattern(source);
  if (typeof pattern === "string") return { from: id, problem: `the pattern ${pattern}` };
  const all = await within(fleet.logs(id, { lines: most, ...(unit === undefined ? {} : { unit }) }), JOURNAL_MS, signal);
  const lines = sinceMs === undefined ? all : linesSince(all, Date.now() - sinceMs);
  const reading = searchLines(pattern, id, lines);
  // what was read begins later than the move
  const isPart = sinceMs !== undefined && all.length >= most && lines.length === all.length;
  return isPart
    ? { ...reading, doubt: `has more than ${most} lines since it was moved, and older ones were not read: raise lines` }
    : reading;
}

/** @throws Error when a secret is not there */
function headersOf(headers: Readonly<Record<string, HeaderValue>>, secret: GateProbeParts["secret"]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => {
      const text = typeof value === "string" ? value : secret?.(value.secret);
      if (text === undefined) throw new Error(`the secret of header ${name} is not there`);
      return [name, text];
    }),
  );
}

const hostOf = (url: string): string => URL.parse(url)?.host ?? url;

/** One reading of each; what throws is a problem of that one. */
async function ofEach<T extends { readonly id: string }>(
  things: readonly T[],
  read: (thing: T) => Promise<Reading>,
): Promise<readonly Reading[]> {
  const readings: Reading[] = [];
  const waiting = [...things.entries()];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, thing] = next;
      readings[index] = await read(thing).catch((error: unknown) => ({ from: thing.id, problem: wordsOf(error) }));
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, things.length) }, work));
  return readings;
}

/** @throws Error when it takes too long or is stopped; the work itself may go on */
async function within<T>(work: Promise<T>, timeoutMs: number, signal: AbortSignal): Promise<T> {
  let stop = (): void => undefined;
  const ended = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    const aborted = (): void => reject(new Error("the question was stopped"));
    signal.addEventListener("abort", aborted);
    if (signal.aborted) aborted();
    stop = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", aborted);
    };
  });
  try {
    return await Promise.race([work, ended]);
  } finally {
    stop();
  }
}
