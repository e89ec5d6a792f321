import { platformOf, type CheckDefinition, type Scenario, type ScenarioFile } from "../core/checks/check.ts";
import type { CheckResult, SelfTest, TestedCheck } from "../core/checks/verdict.ts";
import type { Sha256 } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import type { EventBody } from "../core/events.ts";
import { PREDICATES } from "../core/papers/statement.ts";
import { suggestion } from "../core/text/did-you-mean.ts";
import type { CheckServices } from "../ports/check-services.ts";
import type { CheckImageOptions, CheckImageParts } from "./check-image.ts";
import { checkedMachine } from "./checked-machine.ts";
import { declarationOf } from "./declared-checks.ts";
import { readImage, type ImageContent } from "./image-content.ts";
import { limiter } from "./limiter.ts";
import { bindCheck, resultOf, runCheck, type BoundCheck } from "./run-check.ts";
import { vmBoots } from "./vm-boots.ts";

/** Machines that are started side by side: a start takes one processor (a guess for the smallest machines). */
const AT_ONCE = 2;

export interface SelfTestOutcome extends SelfTest {
  readonly name: string;
  readonly evidence: Sha256;
  readonly durationMs: number;
}

/**
 * Shows that checks find what they are there for: each is asked about the image with a fault put into it, and about the image with
 * none. What it said is written down as a signed paper of the image.
 *
 * @param types  of checks; those that the image declares when empty, all when it declares none
 * @throws USAGE for a type that does not exist, IMAGE_NOT_FOUND, CANCELLED
 */
export async function selfTest(
  parts: CheckImageParts,
  reference: string,
  types: readonly string[],
  { signal, report }: Pick<CheckImageOptions, "signal" | "report">,
): Promise<SelfTestOutcome> {
  const content = readImage(parts.store, reference);
  const startedMs = parts.clock.elapsedMs();
  const startedAt = parts.clock.now().toISOString();
  const bake = parts.newId();
  const tell = (body: EventBody): void => report({ ...body, at: parts.clock.now().toISOString(), bake });
  const { digest } = content.entry;
  const definitions = typesOf(parts, content, types);
  tell({ type: "checks-started", image: digest, name: content.name, checks: definitions.length });
  await (await parts.trees()).ensureUnpacked(content.source.diffs);
  const limit = limiter(AT_ONCE);
  const tested = await Promise.all(definitions.map((definition) => limit(() => testOne(parts, content, definition, { signal, tell }))));
  if (signal.aborted) throw new BakehouseError("CANCELLED", "The self-test was stopped before it was done: nothing was written down");
  const result: SelfTest = {
    image: digest,
    tested,
    startedAt,
    endedAt: parts.clock.now().toISOString(),
    by: parts.baker,
    tool: parts.tool,
  };
  const trusted = tested.filter((one) => one.trusted).map(({ check, version }) => `${check}@${version}`);
  const paper = await parts.papers.attach({ name: content.name, digest }, PREDICATES.selfTest, result, {
    "dev.bakehouse.checks.trusted": trusted.join(","),
  });
  return { ...result, name: content.name, evidence: paper.digest, durationMs: Math.round(parts.clock.elapsedMs() - startedMs) };
}

function typesOf(parts: CheckImageParts, content: ImageContent, types: readonly string[]): readonly CheckDefinition[] {
  const declared = (declarationOf(parts.papers, content.entry.digest)?.checks ?? []).map(({ check }) => check);
  const wanted = types.length > 0 ? types : declared.length > 0 ? declared : [...parts.checks.keys()];
  return [...new Set(wanted)].flatMap((type) => {
    const definition = parts.checks.get(type);
    if (definition !== undefined) return [definition];
    if (types.length === 0) return [];
    throw new BakehouseError("USAGE", `There is no check of type ${JSON.stringify(type)}`, {
      hint: suggestion(type, [...parts.checks.keys()], "types") ?? "bakehouse check --help",
    });
  });
}

interface Around {
  readonly signal: AbortSignal;
  tell(body: EventBody): void;
}

async function testOne(parts: CheckImageParts, content: ImageContent, definition: CheckDefinition, around: Around): Promise<TestedCheck> {
  const startedMs = parts.clock.elapsedMs();
  const { id, version } = definition;
  around.tell({
    type: "check-started",
    check: id,
    platform: platformOf(definition, definition.options.parse(definition.selfTest.sound.options)),
  });
  const sound = await ask(parts, content, definition, definition.selfTest.sound, around);
  around.tell({ type: "check-progress", check: id, message: "now with the fault" });
  const faulty = await ask(parts, content, definition, definition.selfTest.faulty, around);
  const trusted = sound.verdict === "passed" && faulty.verdict === "failed";
  const told = ({ verdict, summary }: CheckResult): TestedCheck["sound"] => ({ verdict, summary });
  around.tell({
    type: "check-answered",
    check: id,
    verdict: trusted ? "passed" : "failed",
    summary: trusted
      ? `finds the fault: ${faulty.summary}`
      : sound.verdict === "passed"
        ? `does not find the fault: ${faulty.verdict}, ${faulty.summary}`
        : `does not pass without a fault: ${sound.verdict}, ${sound.summary}`,
    attempts: 1,
    durationMs: Math.round(parts.clock.elapsedMs() - startedMs),
  });
  return { check: id, version, sound: told(sound), faulty: told(faulty), trusted };
}

/** Nothing of the image's own starts, so that what is found is what was put there. */
const QUIET_MACHINE: ScenarioFile = {
  path: "/etc/systemd/system/default.target",
  content: "[Unit]\nDescription=Self-test of checks\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n",
};

async function ask(
  parts: CheckImageParts,
  content: ImageContent,
  definition: CheckDefinition,
  scenario: Scenario,
  { signal }: Around,
): Promise<CheckResult> {
  const brings = scenario.brings === undefined ? {} : { files: scenario.brings };
  const options = definition.options.parse(scenario.options) as Scenario["options"];
  const bound = bindCheck({ check: definition.id, name: definition.id, layer: "self-test", options, ...brings }, definition);
  const onCell = bound.platform === "cell";
  const files = [...(onCell ? [QUIET_MACHINE] : []), ...(scenario.files ?? [])];
  const derived = { ...content, source: await parts.derive(content.source, files, signal) };
  const opened: (() => void | Promise<void>)[] = [];
  try {
    const services = await open(parts, derived, bound, opened, signal);
    if ("verdict" in services) return services;
    return await runCheck(bound, {
      image: { digest: content.entry.digest, name: content.name },
      clock: parts.clock,
      signal,
      services,
      onProgress: () => undefined,
    });
  } finally {
    for (const close of opened.toReversed()) await close();
  }
}

async function open(
  parts: CheckImageParts,
  content: ImageContent,
  bound: BoundCheck,
  opened: (() => void | Promise<void>)[],
  signal: AbortSignal,
): Promise<Partial<CheckServices> | CheckResult> {
  const host = await parts.openHost();
  opened.push(() => host.close());
  if (bound.platform === "vm") {
    const vm = vmBoots(await parts.imageMachines(), content, parts.clock);
    opened.push(() => vm.close());
    return { host, vm };
  }
  if (bound.platform !== "cell") {
    const tree = await parts.openTree(content.source);
    opened.push(() => tree.close());
    return { host, tree, secrets: await parts.secrets([], "") };
  }
  const machine = await checkedMachine({
    cells: () => parts.cells(),
    tree: async () => {
      const tree = await parts.openTree(content.source);
      opened.push(() => tree.close());
      return tree;
    },
    content,
    layer: "self-test",
    architecture: parts.architecture,
    keep: false,
    clock: parts.clock,
    signal,
    onStarting: () => undefined,
    tell: () => undefined,
  });
  const { cell, problem } = machine;
  if (cell !== undefined) opened.push(() => cell.stop());
  if (cell !== undefined && problem === undefined) return { host, cell };
  const answer = problem ?? { verdict: "error", summary: "no cell" };
  const timing = { attempts: 0, startedAt: parts.clock.now().toISOString(), durationMs: 0, asked: { options: bound.declared.options } };
  // a machine that does not come up has not failed the check: nothing was asked
  return resultOf(bound, { ...answer, verdict: "error" }, timing);
}
