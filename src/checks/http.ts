import { z } from "zod";
import { defineCheck, type CheckAnswer, type CheckContext } from "../core/checks/check.ts";
import type { Cell } from "../ports/cells.ts";
import { failed, passed, undecided } from "./lib/answers.ts";
import { duration, matcher, milliseconds, pattern, port } from "./lib/options.ts";
import { httpAnswer, listenerFiles } from "./lib/self-test.ts";

const status = () => z.int().min(100).max(599);

const requestPath = () =>
  z.string().regex(/^\/[^\s]*$/, { error: (issue) => `${JSON.stringify(issue.input)} is no path of a request: it starts with /` });

const full = z.strictObject({
  path: requestPath().default("/").describe("Path and query that are asked for"),
  port: port().default(80).describe("Port of the machine"),
  method: z.enum(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]).default("GET").describe("Method of the request"),
  headers: z.record(z.string(), z.string()).default({}).describe("Headers that are sent"),
  status: z
    .union([status(), z.array(status()).min(1)])
    .default(200)
    .describe("Status, or several, of a right answer; redirects are not followed"),
  contains: z.string().optional().describe("Text that must be in the body"),
  matches: pattern().optional().describe("Regular expression that the body must match"),
  header: z.record(z.string(), z.string()).default({}).describe("Headers of the answer: a text that must be in each"),
  stable: z
    .strictObject({
      answers: z.int().min(2).max(1000).default(10).describe("Right answers in a row"),
      over: duration().default("3s").describe("Time over which they are spread"),
    })
    .optional()
    .describe("Ask again and again after the first right answer: some right and some wrong is inconclusive, all wrong is failed"),
});
const options = z.union([requestPath().describe("Path that must answer with 200 on port 80"), full]);
type Request = z.output<typeof full>;

interface Answer {
  /** What is wrong with it; undefined for a right one. */
  readonly problem?: string;
  readonly status?: number;
  readonly durationMs?: number;
  readonly body?: string;
}

/** Asks the machine over HTTP. */
export const http = defineCheck({
  id: "http",
  version: 1,
  summary: "An HTTP request gets the right answer",
  description: `Asks from outside, over the machine's network, until the answer is right or the attempts are used up.

With \`stable\` it then goes on asking. **Every answer right**: passed. **None right**: failed. **Some right and some wrong**: the health
flaps, and the verdict is **inconclusive**, at once and without another attempt: trying until it happens to be right would prove nothing.`,
  examples: [
    `- http: /health`,
    `- http: { path: /, status: [200, 204], contains: Welcome, header: { content-type: text/html } }
  name: front-page
  retries: 50`,
    `- http: { path: /health, port: 8080, stable: { answers: 20, over: 5s } }`,
  ],
  options,
  platform: "cell",
  needs: ["cell"],
  defaults: { retries: 40, intervalMs: 50, timeoutMs: 30_000 },
  async run(context) {
    const { options: given, cell } = context;
    const request = typeof given === "string" ? full.parse({ path: given }) : given;
    const first = await ask(cell, request);
    const answered = { status: first.status ?? null, durationMs: first.durationMs ?? null };
    if (first.problem !== undefined)
      return failed(first.problem, {
        answered,
        ...(first.body === undefined ? {} : { excerpt: first.body.split("\n").slice(0, 10) }),
      });
    if (request.stable === undefined) return passed(`${request.path} answers ${first.status} in ${first.durationMs} ms`, { answered });
    return watch(context, request, request.stable, first);
  },
  selfTest: {
    sound: { options: { port: 7393, contains: "well" }, files: listenerFiles(7393, httpAnswer("200 OK", "well")) },
    faulty: { options: { port: 7393, contains: "well" }, files: listenerFiles(7393, httpAnswer("500 Broken", "ill")) },
  },
});

/** Every header and the body of what comes back, against what is asked. */
async function ask(cell: Cell, request: Request): Promise<Answer> {
  const url = `http://${cell.state.address}:${request.port}${request.path}`;
  let answer: Awaited<ReturnType<Cell["http"]>>;
  try {
    answer = await cell.http({ url, method: request.method, headers: request.headers, timeoutMs: ONE_ANSWER_MS });
  } catch (cause) {
    return { problem: `nothing answers on port ${request.port}: ${cause instanceof Error ? cause.message : String(cause)}` };
  }
  const told = { status: answer.status, durationMs: Math.round(answer.durationMs), body: answer.body };
  const problem = problemOf(answer, request);
  return problem === undefined ? told : { ...told, problem };
}

/** Longer than any health that is worth the name takes (a guess). */
const ONE_ANSWER_MS = 10_000;

function problemOf(answer: Awaited<ReturnType<Cell["http"]>>, request: Request): string | undefined {
  const right = typeof request.status === "number" ? [request.status] : request.status;
  if (!right.includes(answer.status)) return `${request.path} answers ${answer.status}, not ${right.join(" or ")}`;
  const headers = new Map(Object.entries(answer.headers).map(([name, value]) => [name.toLowerCase(), value]));
  for (const [name, text] of Object.entries(request.header)) {
    const value = headers.get(name.toLowerCase());
    if (value?.includes(text) !== true)
      return `header ${name} of ${request.path} is ${JSON.stringify(value ?? null)}, without ${JSON.stringify(text)}`;
  }
  if (request.contains !== undefined && !answer.body.includes(request.contains))
    return `${request.path} does not contain ${JSON.stringify(request.contains)}`;
  if (request.matches !== undefined && !matcher(request.matches).test(answer.body))
    return `${request.path} does not match ${request.matches}`;
  return undefined;
}

/** The first right answer counts as one. */
async function watch(
  { cell, sleep, signal }: CheckContext<z.output<typeof options>, "cell">,
  request: Request,
  { answers, over }: NonNullable<Request["stable"]>,
  first: Answer,
): Promise<CheckAnswer> {
  const all: Answer[] = [first];
  while (all.length < answers) {
    await sleep(milliseconds(over) / (answers - 1));
    signal.throwIfAborted();
    all.push(await ask(cell, request));
  }
  const wrong = all.filter(({ problem }) => problem !== undefined);
  const answered = { answers: all.map(({ status: code, problem }) => problem ?? code ?? null), right: all.length - wrong.length };
  if (wrong.length === 0) return passed(`${request.path} gives ${answers} right answers in a row over ${over}`, { answered });
  const told = `${all.length - wrong.length} of ${all.length} answers are right, then: ${wrong[0]?.problem ?? ""}`;
  // it answered once and never again: that is a service that died, not one that flaps
  const lastRight = all.findLastIndex(({ problem }) => problem === undefined);
  const died = all.slice(lastRight + 1).length === wrong.length;
  const rest = { answered, final: true, remedy: "bakehouse check --keep leaves the machine for a look" };
  return died ? failed(`${request.path} stops to answer: ${told}`, rest) : undecided(`${request.path} flaps: ${told}`, rest);
}
