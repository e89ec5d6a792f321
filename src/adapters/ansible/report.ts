import { BakehouseError } from "../../core/errors.ts";
import { LOOK_AT_FAILURE } from "../../core/look-at-failure.ts";
import type { PlaybookChange, PlaybookContext, PlaybookSummary } from "../../ports/ansible-runner.ts";
import type { PlaybookEvent, TaskResult } from "./events.ts";

type Sink = Pick<PlaybookContext, "log" | "progress" | "address">;

/** Follows the events of one playbook run: tells people, counts, and keeps what an error message needs. */
export class PlaybookReport {
  private readonly sink: Sink;
  /** Turns paths of the controller into paths below the recipe's folder. */
  private readonly toRecipePath: (text: string) => string;
  private readonly output: string[] = [];
  private readonly failures: TaskResult[] = [];
  private readonly changes: PlaybookChange[] = [];
  private readonly unmatched: string[] = [];
  private plays = 0;
  private planned = 0;
  private started = 0;
  private counts = { ok: 0, changed: 0, skipped: 0, forgiven: 0 };

  constructor(sink: Sink, toRecipePath: (text: string) => string) {
    this.sink = sink;
    this.toRecipePath = toRecipePath;
  }

  /** A line that is not an event: warnings, parse errors, what `-v` prints. */
  note(line: string): void {
    const text = this.toRecipePath(line);
    if (text.trim() === "") return;
    this.output.push(text);
    if (this.output.length > OUTPUT_LINES) this.output.shift();
    this.sink.log(text);
  }

  take(event: PlaybookEvent): void {
    switch (event.event) {
      case "play":
        this.plays += 1;
        this.planned += event.tasks;
        this.sink.log(`PLAY ${event.play}`);
        return;
      case "unmatched":
        this.unmatched.push(event.play ?? "");
        return;
      case "task":
        return this.startTask(event);
      case "result":
        return this.finishTask(event);
      case "diff":
        this.keepDiff(event);
        return;
      case "stats":
        return this.end(event);
    }
  }

  private startTask(event: Extract<PlaybookEvent, { event: "task" }>): void {
    this.started += 1;
    const planned = Math.max(this.planned, this.started); // included tasks and handlers come on top
    const name = taskName(event);
    this.sink.log(`${event.handler ? "HANDLER" : "TASK"} ${name}  (${this.place(event)})`);
    this.sink.progress({ message: `${event.handler ? "handler" : "task"} "${name}"`, fraction: this.started / (planned + 1) });
  }

  private finishTask(result: TaskResult): void {
    for (const warning of result.warnings) this.sink.log(`  warning: ${this.toRecipePath(warning)}`);
    const item = result.item === undefined ? "" : ` ${result.item}`;
    this.sink.log(`  ${result.ignored ? "failed, ignored" : result.status}${item}`);
    if (result.say) for (const line of result.say.split("\n")) this.sink.log(`  | ${line}`);
    if (result.status === "changed") {
      this.changes.push({ task: taskName(result), place: this.place(result), ...(result.item === undefined ? {} : { item: result.item }) });
    }
    if (result.status !== "failed" && result.status !== "unreachable") return;
    for (const line of detailLines(result, this.toRecipePath)) this.sink.log(`  | ${line}`);
    if (!result.ignored) this.failures.push(result);
  }

  /** The diff comes before the result of its task; it takes the place of the change that the result would add. */
  private keepDiff(event: Extract<PlaybookEvent, { event: "diff" }>): void {
    for (const line of event.diff.trimEnd().split("\n")) this.sink.log(`  ${line}`);
    this.changes.push({ task: taskName(event), place: this.place(event), diff: event.diff });
  }

  private end(event: Extract<PlaybookEvent, { event: "stats" }>): void {
    for (const host of Object.values(event.hosts)) {
      this.counts.ok += host.ok - host.changed;
      this.counts.changed += host.changed;
      this.counts.skipped += host.skipped;
      this.counts.forgiven += host.ignored + host.rescued;
    }
  }

  summary(): PlaybookSummary {
    return { ...this.counts, changes: mergeDiffs(this.changes) };
  }

  /** What went wrong, if anything did. A failure that a `rescue` has caught is none. */
  problem(exitCode: number): BakehouseError | undefined {
    if (exitCode !== 0) return this.failures.length === 0 ? this.controllerFailed(exitCode) : this.taskFailed();
    if (this.plays === 0 || this.unmatched.length < this.plays) return undefined;
    return new BakehouseError(
      "STEP_FAILED",
      `${this.sink.address}: no play is for this image: ${this.unmatched.map((play) => `"${play}"`).join(", ")} matched no host`,
      {
        hint: "name the groups that the plays are for: `groups: [webservers]`",
      },
    );
  }

  private taskFailed(): BakehouseError {
    const failure = this.failures.findLast((result) => result.item === undefined) ?? this.failures.at(-1);
    if (failure === undefined) throw new Error("no failure to tell of");
    const items = this.failures.filter((result) => result.item !== undefined && result.path === failure.path);
    const told = items.length > 0 ? items : [failure];
    const lines = told.flatMap((result) => [
      ...(result.item === undefined ? [] : [`item ${result.item}:`]),
      ...detailLines(result, this.toRecipePath),
    ]);
    const play = failure.play ?? "";
    return new BakehouseError(
      "STEP_FAILED",
      `${this.sink.address}: task "${taskName(failure)}" of play "${play}" failed\n  at ${this.place(failure)}${lines.map((line) => `\n  | ${line}`).join("")}`,
      {
        hint: `${LOOK_AT_FAILURE}; \`verbosity: 3\` on the step shows more`,
        details: {
          step: this.sink.address,
          play,
          task: taskName(failure),
          place: this.place(failure),
          message: failure.details?.["msg"] ?? "",
        },
      },
    );
  }

  private controllerFailed(exitCode: number): BakehouseError {
    const lines = this.output.map((line) => `\n  | ${line}`).join("");
    return new BakehouseError("STEP_FAILED", `${this.sink.address}: ansible-playbook ended with exit code ${exitCode}${lines}`, {
      hint: "the lines above are Ansible's own: it did not understand the playbook, or could not read something that it names",
      details: { step: this.sink.address, exitCode },
    });
  }

  private place(event: { readonly path?: string | null | undefined }): string {
    return this.toRecipePath(event.path ?? "");
  }
}

/** Enough for Ansible's longest complaint, which quotes the lines around a mistake. */
const OUTPUT_LINES = 40;

const taskName = (event: { readonly task: string; readonly action: string }): string => event.task || event.action;

function detailLines(result: TaskResult, toRecipePath: (text: string) => string): readonly string[] {
  const { msg, stderr, stdout, ...rest } = result.details ?? {};
  const shown = [
    msg,
    stderr,
    stdout,
    rest["module_stderr"],
    rest["module_stdout"],
    rest["exception"],
    rest["reason"],
    rest["rc"] && `exit code ${rest["rc"]}`,
  ];
  const lines = shown.flatMap((text) => (text ? toRecipePath(text).trimEnd().split("\n") : []));
  return [...new Set(lines)].slice(0, OUTPUT_LINES);
}

/** In check mode a task gives its diff and then its result: one change, not two. */
function mergeDiffs(changes: readonly PlaybookChange[]): readonly PlaybookChange[] {
  const merged: PlaybookChange[] = [];
  for (const change of changes) {
    const previous = merged.at(-1);
    const same =
      previous !== undefined &&
      previous.place === change.place &&
      previous.task === change.task &&
      previous.diff !== undefined &&
      change.diff === undefined &&
      previous.item === undefined;
    if (same) merged[merged.length - 1] = { ...previous, ...change, ...(previous.diff === undefined ? {} : { diff: previous.diff }) };
    else merged.push(change);
  }
  return merged;
}
