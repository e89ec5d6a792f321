import type { CheckAnswer, CheckRegistry, ScenarioFile } from "../core/checks/check.ts";
import type { Declaration, DeclaredSecret } from "../core/checks/declared-check.ts";
import { worstVerdict, type CheckResult, type CheckRun } from "../core/checks/verdict.ts";
import type { ImageDigest, Sha256 } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import type { EventBody } from "../core/events.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import { PREDICATES } from "../core/papers/statement.ts";
import type { Cells } from "../ports/cells.ts";
import type { CheckServices, CheckTree, HostPrograms, KnownSecrets } from "../ports/check-services.ts";
import type { ReachPoint } from "../ports/crash-points.ts";
import type { Clock } from "../ports/host.ts";
import type { ImageTrees, TreeSource } from "../ports/image-trees.ts";
import type { Papers } from "../ports/papers.ts";
import type { Store } from "../ports/store.ts";
import { checkedMachine, type CheckedMachine } from "./checked-machine.ts";
import { chooseChecks, type UnknownCheck } from "./choose-checks.ts";
import { requireDeclaration } from "./declared-checks.ts";
import { readImage, type ImageContent } from "./image-content.ts";
import type { ImageMachineParts } from "./image-machine.ts";
import type { Report } from "./parts.ts";
import { vmBoots } from "./vm-boots.ts";
import { grantedNeeds, resultOf, runCheck, type BoundCheck } from "./run-check.ts";

/** What a run of checks needs from outside. */
export interface CheckImageParts {
  readonly store: Store;
  readonly clock: Clock;
  /** `user@host` */
  readonly baker: string;
  readonly tool: string;
  readonly checks: CheckRegistry;
  readonly papers: Papers;
  readonly reach: ReachPoint;
  /** As OCI names it: `amd64`. */
  readonly architecture: string;
  newId(): string;
  cells(): Promise<Cells>;
  trees(): Promise<ImageTrees>;
  openTree(source: TreeSource): Promise<CheckTree & { close(): Promise<void> }>;
  /** The diffs of an image with further files upon them. */
  derive(source: TreeSource, files: readonly ScenarioFile[], signal: AbortSignal): Promise<TreeSource>;
  openHost(): Promise<HostPrograms & { close(): void }>;
  secrets(declared: readonly DeclaredSecret[], recipe: string): Promise<KnownSecrets>;
  imageMachines(): Promise<ImageMachineParts>;
}

export interface CheckImageOptions {
  /** Names or types of checks; all that are declared when empty. */
  readonly only: readonly string[];
  /** Leaves the cell running for a look. */
  readonly keep: boolean;
  readonly signal: AbortSignal;
  readonly report: Report;
}

/** What became of a check of an image. */
export interface CheckOutcome extends CheckRun {
  readonly name: string;
  /** The paper that the run was written down in. */
  readonly evidence: Sha256;
  /** Name of the cell that was left running. */
  readonly cell?: string;
  readonly durationMs: number;
}

/**
 * Boots an image as a cell, asks it everything that it promises, and keeps what it answered as a signed paper.
 *
 * @returns the verdict, which may be any of the four: an image that is not good is a result
 * @throws IMAGE_NOT_FOUND, REFERENCE_AMBIGUOUS, USAGE, CANCELLED (nothing is written down then)
 */
export async function checkImage(parts: CheckImageParts, reference: string, options: CheckImageOptions): Promise<CheckOutcome> {
  const content = readImage(parts.store, reference);
  if (content.kind === "launch")
    throw new BakehouseError("USAGE", `${content.name} is what machines do at launch, not an image that can be booted`, {
      hint: `bakehouse check ${content.root === undefined ? "its root image" : shortDigest(content.root)}`,
    });
  const startedMs = parts.clock.elapsedMs();
  const startedAt = parts.clock.now().toISOString();
  const { digest } = content.entry;
  const bake = parts.newId();
  const tell = (body: EventBody): void => options.report({ ...body, at: parts.clock.now().toISOString(), bake });
  const declaration = requireDeclaration(parts.papers, digest, content.name);
  const layer = content.entry.annotations[ANNOTATIONS.layer] ?? content.name;
  const chosen = chooseChecks(declaration?.checks ?? [], parts.checks, options.only, layer);
  const needsCell = chosen.bound.some(({ platform }) => platform === "cell");
  tell({
    type: "checks-started",
    image: digest,
    name: content.name,
    checks: chosen.bound.length + chosen.unknown.length + (needsCell ? 1 : 0),
  });
  const session = new CheckSession(parts, content, declaration, layer, options, tell);
  let kept: string | undefined;
  try {
    const results = [...chosen.unknown.map((unknown) => unknownResult(parts.clock, unknown)), ...(await session.run(chosen.bound))];
    throwIfStopped(options.signal);
    parts.reach("check-answered");
    kept = options.keep ? session.cellName : undefined;
    await session.close(kept !== undefined);
    const run: CheckRun = {
      image: digest,
      platform: needsCell ? "cell" : chosen.bound.some(({ platform }) => platform === "vm") ? "vm" : "tree",
      verdict: worstVerdict(results.map(({ verdict }) => verdict)),
      results,
      ...(options.only.length === 0 ? {} : { only: options.only }),
      startedAt,
      endedAt: parts.clock.now().toISOString(),
      by: parts.baker,
      tool: parts.tool,
    };
    const paper = await parts.papers.attach({ name: content.name, digest }, PREDICATES.checks, run, {
      "dev.bakehouse.checks.verdict": run.verdict,
      "dev.bakehouse.checks.platform": run.platform,
    });
    parts.reach("check-attached");
    const durationMs = Math.round(parts.clock.elapsedMs() - startedMs);
    tell({ type: "checks-ended", image: digest, verdict: run.verdict, durationMs });
    return { ...run, name: content.name, evidence: paper.digest, ...(kept === undefined ? {} : { cell: kept }), durationMs };
  } finally {
    await session.close(kept !== undefined);
  }
}

const throwIfStopped = (signal: AbortSignal): void => {
  if (signal.aborted) throw new BakehouseError("CANCELLED", "The check was stopped before it was done: nothing was written down");
};

function unknownResult(clock: Clock, { declared, problem }: UnknownCheck): CheckResult {
  const answer: CheckAnswer = { verdict: "error", summary: problem, remedy: "check it with the Bakehouse that baked it, or bake it anew" };
  return resultOf({ declared, platform: "tree" }, answer, {
    attempts: 0,
    startedAt: clock.now().toISOString(),
    durationMs: 0,
    asked: { options: declared.options },
  });
}

/** Everything that one run has open. */
class CheckSession {
  private readonly parts: CheckImageParts;
  private readonly content: ImageContent;
  private readonly declaration: Declaration | undefined;
  private readonly layer: string;
  private readonly options: CheckImageOptions;
  private readonly tell: (body: EventBody) => void;
  private readonly image: { readonly digest: ImageDigest; readonly name: string };
  private tree: ReturnType<CheckImageParts["openTree"]> | undefined;
  private host: ReturnType<CheckImageParts["openHost"]> | undefined;
  private machine: CheckedMachine | undefined;
  private vm: ReturnType<typeof vmBoots> | undefined;

  constructor(
    parts: CheckImageParts,
    content: ImageContent,
    declaration: Declaration | undefined,
    layer: string,
    options: CheckImageOptions,
    tell: (body: EventBody) => void,
  ) {
    this.parts = parts;
    this.content = content;
    this.declaration = declaration;
    this.layer = layer;
    this.options = options;
    this.tell = tell;
    this.image = { digest: content.entry.digest, name: content.name };
  }

  get cellName(): string | undefined {
    return this.machine?.cell?.isAlive() === true ? this.machine.cell.state.name : undefined;
  }

  /** In the order in which they are declared, the start of the machine first. */
  async run(checks: readonly BoundCheck[]): Promise<readonly CheckResult[]> {
    await (await this.parts.trees()).ensureUnpacked(this.content.source.diffs);
    const onTree = checks.filter(({ platform }) => platform === "tree");
    const onCell = checks.filter(({ platform }) => platform === "cell");
    const onVm = checks.filter(({ platform }) => platform === "vm");
    const results = new Map<BoundCheck, CheckResult>();
    const keep = async (group: readonly BoundCheck[], services: Partial<CheckServices>): Promise<void> => {
      await Promise.all(group.map(async (check) => results.set(check, await this.one(check, services))));
    };
    // Reading a whole tree keeps this process busy, and a start that waits for it takes that much longer.
    const starting = Promise.withResolvers<void>();
    const tree = async (): Promise<void> => {
      await starting.promise;
      await keep(onTree, {});
    };
    const cell = async (): Promise<CheckResult | undefined> => {
      if (onCell.length === 0) return undefined;
      const machine = await this.startMachine(starting.resolve);
      const { cell: running, problem } = machine;
      if (running === undefined || problem !== undefined) {
        for (const check of onCell) results.set(check, this.withoutMachine(check, problem ?? { verdict: "error", summary: "no cell" }));
        return machine.result();
      }
      const last = onCell.filter(({ definition }) => definition.runsLast === true);
      await keep(
        onCell.filter((check) => !last.includes(check)),
        { cell: running },
      );
      await keep(last, { cell: running });
      return machine.result();
    };
    const [boot] = await Promise.all([cell().finally(starting.resolve), tree()]);
    // one after the other, and after everything else: an emulated machine takes a processor for itself
    for (const check of onVm) await keep([check], {});
    const ordered = checks.flatMap((check) => results.get(check) ?? []);
    return boot === undefined ? ordered : [boot, ...ordered];
  }

  async close(keepCell: boolean): Promise<void> {
    const { machine } = this;
    this.machine = undefined;
    await Promise.all([
      keepCell ? undefined : machine?.cell?.stop(),
      this.tree?.then(
        (tree) => tree.close(),
        () => undefined,
      ),
      this.host?.then(
        (host) => host.close(),
        () => undefined,
      ),
    ]);
    await this.vm?.close();
    this.tree = undefined;
    this.host = undefined;
    this.vm = undefined;
  }

  private async startMachine(onStarting: () => void): Promise<CheckedMachine> {
    this.machine = await checkedMachine({
      cells: () => this.parts.cells(),
      tree: () => this.openTree(),
      content: this.content,
      layer: this.layer,
      architecture: this.parts.architecture,
      keep: this.options.keep,
      clock: this.parts.clock,
      signal: this.options.signal,
      onStarting,
      tell: this.tell,
    });
    this.parts.reach("check-cell-started");
    return this.machine;
  }

  private openTree(): ReturnType<CheckImageParts["openTree"]> {
    return (this.tree ??= this.parts.openTree(this.content.source));
  }

  private async one(check: BoundCheck, open: Partial<CheckServices>): Promise<CheckResult> {
    const { name } = check.declared;
    this.tell({ type: "check-started", check: name, platform: check.platform });
    const request = {
      image: this.image,
      clock: this.parts.clock,
      signal: this.options.signal,
      onProgress: (message: string) => this.tell({ type: "check-progress", check: name, message }),
    };
    let result: CheckResult;
    try {
      result = await runCheck(check, { ...request, services: { ...open, ...(await this.servicesFor(check)) } });
    } catch (cause) {
      result = this.withoutMachine(check, { verdict: "error", summary: cause instanceof Error ? cause.message : String(cause) });
    }
    if (check.platform === "cell" && result.verdict !== "passed" && (await this.machine?.hasEnded()) === true)
      result = { ...result, verdict: "failed", summary: `the machine ended by itself: ${result.summary}` };
    this.answered(result);
    return result;
  }

  private answered({ name, verdict, summary, attempts, durationMs }: CheckResult): void {
    this.tell({ type: "check-answered", check: name, verdict, summary, attempts, durationMs });
  }

  /** Opened once, when the first check asks. */
  private async servicesFor(check: BoundCheck): Promise<Partial<CheckServices>> {
    const needs = grantedNeeds(check);
    return {
      ...(needs.includes("tree") ? { tree: await this.openTree() } : {}),
      ...(needs.includes("host") ? { host: await (this.host ??= this.parts.openHost()) } : {}),
      ...(needs.includes("vm") ? { vm: (this.vm ??= vmBoots(await this.parts.imageMachines(), this.content, this.parts.clock)) } : {}),
      ...(needs.includes("secrets")
        ? { secrets: await this.parts.secrets(this.declaration?.secrets ?? [], this.declaration?.recipe ?? "") }
        : {}),
    };
  }

  private withoutMachine(check: BoundCheck, answer: CheckAnswer): CheckResult {
    const result = resultOf(check, answer, {
      attempts: 0,
      startedAt: this.parts.clock.now().toISOString(),
      durationMs: 0,
      asked: { options: check.declared.options },
    });
    this.answered(result);
    return result;
  }
}
