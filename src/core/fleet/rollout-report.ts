import type { InstancePhase, RolloutStatus } from "../rollout/model.ts";

/** Everything that is told of a rollout afterwards. Times are ISO 8601, UTC; `ms` counts from its start, by a clock that only grows. */
export interface RolloutReport {
  readonly id: string;
  readonly fleet: string;
  readonly target: string;
  readonly back?: string;
  readonly status: RolloutStatus;
  readonly over: boolean;
  readonly reason: string;
  readonly startedBy: string;
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly durationMs: number;
  readonly plan: ReportedPlan;
  readonly waves: readonly ReportedWave[];
  readonly counts: Readonly<Partial<Record<InstancePhase, number>>>;
  readonly gates: readonly ReportedGate[];
  readonly commands: readonly ReportedCommand[];
  readonly failures: readonly ReportedFailure[];
  /** Absent: nothing was halted. */
  readonly halt?: ReportedHalt;
  readonly timeline: readonly ReportedEvent[];
  /** What each instance did, in the order in which they were to move. */
  readonly instances: readonly ReportedInstance[];
}

export interface ReportedPlan {
  readonly hash: string;
  readonly strategy: string;
  /** How an instance comes to the image, and why so. */
  readonly method?: string;
  readonly limits: readonly string[];
  readonly gates: readonly string[];
  readonly onHalt: "hold" | "roll-back";
  readonly zones: readonly { readonly zone: string; readonly size: number; readonly worst: number }[];
  readonly settled: number;
}

export interface ReportedWave {
  readonly number: number;
  readonly instances: readonly string[];
  readonly soakMs: number;
  readonly weight?: number;
  readonly openedMs?: number;
  readonly doneMs?: number;
}

export interface ReportedGate {
  readonly at: string;
  readonly ms: number;
  readonly gate: string;
  readonly wave: number;
  readonly verdict: string;
  readonly detail: string;
}

export interface ReportedCommand {
  readonly at: string;
  readonly ms: number;
  readonly command: string;
  readonly who: string;
  readonly about?: string;
  readonly reason?: string;
  /** Why it was not done. */
  readonly refused?: string;
}

export interface ReportedFailure {
  readonly at: string;
  readonly ms: number;
  readonly id: string;
  readonly zone: string;
  /** Absent: it joined on the way, or ran the image before. */
  readonly wave?: number;
  readonly phase: InstancePhase;
  readonly why: string;
  /** What became of it. */
  readonly end: InstancePhase;
}

export interface ReportedHalt {
  readonly at: string;
  readonly ms: number;
  readonly reason: string;
  /** The first sign that something was wrong: an instance that failed or became unhealthy, a gate that did not pass. */
  readonly signal?: { readonly at: string; readonly ms: number; readonly what: string };
  /** From the signal to the halt. */
  readonly haltedAfterMs?: number;
  /** Instances that were begun to be moved between the two. */
  readonly overRun: number;
  /** From the halt until the last instance was back; absent: none were brought back, or not all yet. */
  readonly backAfterMs?: number;
}

export interface ReportedEvent {
  readonly at: string;
  readonly ms: number;
  readonly what: string;
  readonly reason?: string;
}

export interface ReportedInstance {
  readonly id: string;
  readonly zone: string;
  readonly end: InstancePhase;
  readonly running?: string;
  /** From when on it was in which phase. */
  readonly phases: readonly { readonly fromMs: number; readonly phase: InstancePhase }[];
}

/** More rows than that say less. */
const MOST_ROWS = 500;

export function rolloutMarkdown(report: RolloutReport): string {
  const { id, fleet, target, back, plan, halt } = report;
  const lines = [
    `# Rollout ${plain(id)} of ${plain(fleet)}: ${report.status}`,
    "",
    ...(report.reason === "" ? [] : [`${plain(report.reason)}.`, ""]),
    ...table(
      ["", ""],
      [
        ["image", code(target)],
        ["image to go back to", back === undefined ? "none" : code(back)],
        ["started", `${report.startedAt} by ${plain(report.startedBy)}`],
        [report.over ? "ended" : "last heard of", report.endedAt ?? report.timeline.at(-1)?.at ?? report.startedAt],
        ["took", spanText(report.durationMs)],
        ["instances", countsText(report.counts)],
      ],
    ),
    "## Plan",
    "",
    `Hash ${code(plan.hash)}. ${plain(plan.strategy)}.${plan.method === undefined ? "" : ` Instances: ${plain(plan.method)}.`} On a halt: ${plan.onHalt}.`,
    "",
    ...plan.limits.map((limit) => `- ${plain(limit)}`),
    ...plan.gates.map((gate) => `- gate ${plain(gate)}`),
    "",
    ...table(
      ["zone", "instances", "left at the worst moment"],
      plan.zones.map(({ zone, size, worst }) => [plain(zone), String(size), String(worst)]),
    ),
    "## Waves",
    "",
    ...table(
      ["wave", "instances", "traffic", "opened", "soaked", "done"],
      report.waves.map((wave) => [
        String(wave.number),
        plain(namesText(wave.instances)),
        wave.weight === undefined ? "by number" : `${wave.weight} %`,
        momentText(wave.openedMs),
        spanText(wave.soakMs),
        momentText(wave.doneMs),
      ]),
    ),
  ];
  if (halt !== undefined) lines.push("## Halt", "", ...haltLines(halt).map((line) => `- ${plain(line)}`), "");
  if (report.failures.length > 0)
    lines.push(
      "## What failed",
      "",
      ...table(
        ["when", "instance", "zone", "wave", "what", "why", "in the end"],
        report.failures
          .slice(0, MOST_ROWS)
          .map(({ ms, id: slot, zone, wave, phase, why, end }) => [
            momentText(ms),
            plain(slot),
            plain(zone),
            String(wave ?? ""),
            phase,
            plain(why),
            end,
          ]),
      ),
      ...more(report.failures.length),
    );
  if (report.gates.length > 0)
    lines.push(
      "## Gates",
      "",
      ...table(
        ["when", "wave", "gate", "verdict", "what it said"],
        report.gates.map(({ ms, wave, gate, verdict, detail }) => [momentText(ms), String(wave), plain(gate), verdict, plain(detail)]),
      ),
    );
  if (report.commands.length > 0)
    lines.push(
      "## Commands",
      "",
      ...table(
        ["when", "command", "by", "reason", "refused"],
        report.commands.map(({ at, command, about, who, reason = "", refused = "" }) => [
          at,
          plain([command, about].filter(Boolean).join(" ")),
          plain(who),
          plain(reason),
          plain(refused),
        ]),
      ),
    );
  const shown = report.timeline.slice(0, MOST_ROWS);
  lines.push(
    "## Timeline",
    "",
    ...table(
      ["wall time", "since the start", "what", "because"],
      shown.map(({ at, ms, what, reason = "" }) => [at, momentText(ms), plain(what), plain(reason)]),
    ),
    ...more(report.timeline.length),
  );
  return `${lines.join("\n").trimEnd()}\n`;
}

const more = (count: number): readonly string[] => (count > MOST_ROWS ? [`${count - MOST_ROWS} more are left out.`, ""] : []);

export function haltLines({ at, reason, signal, haltedAfterMs, overRun, backAfterMs }: ReportedHalt): readonly string[] {
  return [
    ...(signal === undefined ? [] : [`first sign: ${signal.what}, at ${signal.at}`]),
    `halted at ${at}${haltedAfterMs === undefined ? "" : `, ${spanText(haltedAfterMs)} after it`}: ${reason}`,
    `${overRun} ${overRun === 1 ? "instance was" : "instances were"} begun to be moved in between`,
    ...(backAfterMs === undefined ? [] : [`everything was back ${spanText(backAfterMs)} after the halt`]),
  ];
}

export const countsText = (counts: RolloutReport["counts"]): string =>
  Object.entries(counts)
    .map(([phase, count]) => `${count} ${phase}`)
    .join(", ");

const NAMES = 12;
export const namesText = (names: readonly string[]): string =>
  names.length <= NAMES ? names.join(", ") : `${names.slice(0, NAMES).join(", ")} and ${names.length - NAMES} more`;

/** `+1.2 s`, since the start. */
export const momentText = (ms: number | undefined): string => (ms === undefined ? "" : `+${spanText(ms)}`);

export function spanText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = Math.floor((ms % 60_000) / 1000);
  return minutes < 60 ? `${minutes} min ${seconds} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line), ""];
}

/** What people and machines wrote is text in a report, and no markup. */
const plain = (text: string): string => text.replaceAll(/[\\`*_[\]<>|#&~]/g, "\\$&").replaceAll(/\s+/g, " ");

const code = (text: string): string => `\`${text.replaceAll("`", "")}\``;
