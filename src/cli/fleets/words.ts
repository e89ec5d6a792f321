import { shortDigest, type ImageDigest } from "../../core/digest.ts";
import { approvalsText } from "../../core/gates/words.ts";
import type { InstancePhase, RolloutStatus } from "../../core/rollout/model.ts";
import type { RolloutPlan } from "../../core/rollout/plan.ts";
import type { Gate } from "../../core/rollout/policy.ts";
import type { FleetStatus } from "../../engine/fleet-status.ts";
import type { FleetPlan } from "../../engine/plan-fleet-rollout.ts";
import type { RolloutView, WaveView } from "../../engine/show-rollout.ts";
import type { LineStop } from "../../ports/fleet-records.ts";
import { formatAge, formatTime } from "../images/words.ts";
import type { Colors, Terminal } from "../terminal.ts";
import { count, formatDuration, table } from "../text.ts";

export const short = (digest: string | undefined): string => (digest === undefined ? "unknown" : shortDigest(digest as ImageDigest));

export function statusWord(status: RolloutStatus, colors: Colors): string {
  const color = status === "completed" ? colors.green : BAD.has(status) ? colors.red : WAITING.has(status) ? colors.yellow : colors.bold;
  return color(status);
}

const BAD: ReadonlySet<RolloutStatus> = new Set(["halted", "rolling-back", "rolled-back", "rollback-failed", "abandoned"]);
const WAITING: ReadonlySet<RolloutStatus> = new Set(["awaiting-approval", "paused", "held"]);

/** 1: it ended without the fleet being on the image, or stopped by itself. 4: it waits for people. */
export const rolloutExitCode = ({ over, status, approvals }: RolloutView): number => {
  if ((over && status !== "completed") || status === "held" || status === "halted") return 1;
  return approvals !== undefined || status === "paused" ? 4 : 0;
};

/** One line for each fleet, and what is wrong with it below. */
export function fleetLines(status: FleetStatus, terminal: Terminal): string {
  const { bold, dim, yellow, red, green } = terminal.colors;
  const { fleet, healthy, serving, key } = status;
  const isWell = healthy >= fleet.size && status.instances.every(({ conflict }) => !conflict);
  const traffic = fleet.fleet.traffic === undefined ? "" : `, http://127.0.0.1:${fleet.fleet.traffic.listen}/`;
  const head = `${bold(key)} ${isWell ? green(`${healthy} of ${fleet.size} healthy`) : yellow(`${healthy} of ${fleet.size} healthy`)}, ${serving} serving${traffic}\n`;
  const runs = Object.entries(status.running).map(([digest, times]) => `${times} × ${digest === "unknown" ? "unknown" : short(digest)}`);
  const lines = [
    `declared ${fleet.declared === undefined ? "nothing yet" : short(fleet.declared)}; running ${runs.length === 0 ? "nothing" : runs.join(", ")}`,
    ...status.instances
      .filter(({ conflict }) => conflict)
      .map(({ id, provided, running }) => red(`conflict: ${id} was made from ${short(provided)} and runs ${short(running)}`)),
    ...status.empty.map((slot) => yellow(`${slot} has no instance`)),
    ...status.denied.map(({ digest, reason, at }) => yellow(`denied: ${short(digest)} since ${formatAge(at)}: ${reason}`)),
    ...status.stops.map(({ id, owner, reason, until }) =>
      yellow(`${owner} stopped the line (${id})${until === undefined ? "" : ` until ${until}`}: ${reason}`),
    ),
    ...(status.rollout === undefined
      ? []
      : [
          `rollout ${bold(status.rollout.id)} to ${short(status.rollout.target)} ${statusWord(status.rollout.status, terminal.colors)}: ${status.rollout.reason || status.rollout.waitingFor}`,
        ]),
    ...(status.carrier === undefined ? [] : [dim(`process ${status.carrier.pid} ${status.carrier.what}`)]),
    ...nextLine(status, dim),
  ];
  return `${head}${lines.map((line) => `    ${line}\n`).join("")}`;
}

function nextLine({ key, newer, rollout, empty, carrier, fleet }: FleetStatus, dim: (text: string) => string): readonly string[] {
  if (fleet.declared === undefined || (empty.length > 0 && carrier === undefined)) return [dim(`bakehouse fleet converge ${key}`)];
  if (newer !== undefined && rollout === undefined) return [`it follows ${short(newer)} by now: ${dim(`bakehouse rollout plan ${key}`)}`];
  if (rollout !== undefined && carrier === undefined) return [`nobody carries it on: ${dim(`bakehouse fleet watch ${key}`)}`];
  return [];
}

export function instanceTable(status: FleetStatus, terminal: Terminal): string {
  const { dim, green, red, yellow } = terminal.colors;
  const health = { healthy: green, unhealthy: red, unknown: yellow } as const;
  const rows = status.instances.map((instance) => [
    instance.id,
    instance.slot === instance.id ? "" : instance.slot,
    instance.zone,
    `${short(instance.running)}${instance.conflict ? red(` ≠ ${short(instance.provided)}`) : ""}`,
    health[instance.health](instance.health),
    instance.serving ? "yes" : "no",
    instance.bootedAt === undefined ? "" : formatAge(instance.bootedAt),
    instance.why ?? "",
  ]);
  const columns = [
    { title: "instance" },
    { title: "slot", dispensable: 1 },
    { title: "zone", dispensable: 2 },
    { title: "runs" },
    { title: "health" },
    { title: "serves" },
    { title: "booted", dispensable: 3 },
    { title: "", minimum: 8 },
  ] as const;
  return table(columns, rows, { width: terminal.columns, styleTitle: dim });
}

/** Waves, capacity, limits: what somebody approves. */
export function planLines({ fleet, release, plan, hash, frozen, fit, settled }: FleetPlan, terminal: Terminal): string {
  const { bold, dim, yellow } = terminal.colors;
  const size = plan.instances.length + plan.settled.length;
  const key = `${fleet.recipe}/${fleet.fleet.name}`;
  const image = `${release.name} ${short(release.image)}`;
  if (plan.instances.length === 0) return `${bold(key)}: every instance runs ${bold(image)} already\n`;
  const from = [...new Set(plan.instances.map(({ running }) => short(running)))].join(", ");
  const lines = [
    `${bold(key)}: ${from} → ${bold(image)}, ${strategyText(plan)}`,
    plan.method === undefined ? "" : `${plan.method.kind === "activate" ? "In place" : "By other machines"}: ${plan.method.why}`,
    plan.back === undefined ? "There is no image to go back to" : `Back, if it has to be: ${short(plan.back)}`,
    "",
    ...plan.waves.map(
      ({ from: first, to, soakMs, weight }, index) =>
        `wave ${index + 1}  ${count(to - first, "instance")}, then ${formatDuration(soakMs)} of health${weight === undefined ? "" : `, with ${weight} % of the traffic`}  ${dim(
          plan.instances
            .slice(first, Math.min(to, first + SHOWN))
            .map(({ id }) => id)
            .join(" ") + (to - first > SHOWN ? ` … ${to - first - SHOWN} more` : ""),
        )}`,
    ),
    ...(settled > 0 ? [`${count(settled, "instance")} ${settled === 1 ? "runs" : "run"} it already`] : []),
    ...silentLine(plan.instances.filter(({ silent }) => silent === true)),
    ...gatesLine(plan.policy.gates),
    "",
    ...plan.zones.map(({ zone, size: of, worst }) => `zone ${zone}: ${worst} of ${of} left at the worst moment`),
    `limits: ${plan.limits.maxUnavailable} of ${size} may be out of service, ${plan.limits.maxSurge} more machines, ${plan.limits.minHealthy} must be healthy; ${plan.limits.errors} may fail, one more ${plan.policy.onHalt === "hold" ? "halts" : "brings all back"}; ${plan.limits.unreachable} may be silent`,
    ...(frozen === undefined
      ? []
      : [yellow(`nothing may begin now: ${frozen.reason}${frozen.until === undefined ? "" : `, until ${frozen.until.toISOString()}`}`)]),
    ...fitLines(fit, frozen !== undefined),
    "",
    `plan ${bold(hash)}${plan.policy.approvals > 0 ? `, needs ${count(plan.policy.approvals, "approval")} by others than who starts it` : ""}`,
  ];
  return `${lines.join("\n")}\n`;
}

const silentLine = (silent: RolloutPlan["instances"]): readonly string[] =>
  silent.length === 0
    ? []
    : [
        `${silent.map(({ id }) => id).join(", ")} ${silent.length === 1 ? "does" : "do"} not answer: moved when ${silent.length === 1 ? "it does" : "they do"}`,
      ];

function gatesLine(gates: readonly Gate[]): readonly string[] {
  const names = gates.map(({ name, people }) => (people === undefined ? name : `${name} (${approvalsText(people)})`));
  return names.length === 0 ? [] : [`gates after each wave: ${names.join(", ")}`];
}

/** Only where there is something to fit between. */
function fitLines({ whole, begins }: FleetPlan["fit"], isFrozen: boolean): readonly string[] {
  const at = (time: Date): string => formatTime(time.toISOString());
  if (whole === undefined)
    return [begins === undefined ? "it fits into no window that is known" : `it may begin ${at(begins)}, and goes on in the window after`];
  if (!isFrozen && whole.until === undefined) return [];
  return [`it fits in from ${isFrozen ? at(whole.from) : "now"}${whole.until === undefined ? "" : ` until ${at(whole.until)}`}`];
}

const SHOWN = 12;

function strategyText({ policy: { strategy } }: RolloutPlan): string {
  if (strategy.kind === "canary") return "canary";
  return strategy.kind === "blue-green" ? `blue/green, the old set kept for ${formatDuration(strategy.keepOldMs)}` : strategy.kind;
}

const MARKS: Readonly<Record<InstancePhase, string>> = {
  settled: "■",
  moved: "■",
  returned: "◄",
  waiting: "·",
  moving: "▸",
  returning: "◂",
  failed: "✗",
  stuck: "✗",
  unreachable: "?",
  skipped: "-",
  left: " ",
};

/** The state of a rollout as a block: header, one line a wave, what is waited for. */
export function rolloutLines(view: RolloutView, terminal: Pick<Terminal, "colors" | "columns">): string {
  const { bold, dim, red } = terminal.colors;
  const marks = new Map(view.instances.map(({ id, phase }) => [id, phase]));
  const { counts } = view;
  const lines = [
    `${bold(view.id)} ${view.fleet} → ${short(view.target)}  ${statusWord(view.status, terminal.colors)}${view.reason === "" ? "" : `: ${view.reason}`}`,
    ...waveLines(view, marks),
    `${counts.moved} of ${counts.size} moved${counts.failed > 0 ? red(`, ${counts.failed} failed`) : ""}${counts.unreachable > 0 ? red(`, ${counts.unreachable} silent`) : ""}, ${counts.down} out of service`,
    ...(view.over || view.waitingFor === "" || view.waitingFor === view.reason ? [] : [`waits for ${view.waitingFor}`]),
    ...(view.approvals === undefined
      ? []
      : [
          `bakehouse rollout approve ${view.id} --plan ${view.planHash}${view.approvals.wave === undefined ? "" : ` --wave ${view.approvals.wave}`}`,
        ]),
    ...(view.leftMs === undefined || view.leftMs < 1000 ? [] : [dim(`about ${formatDuration(view.leftMs)} left`)]),
  ];
  return `${lines.join("\n")}\n`;
}

function waveLines({ waves, instances }: RolloutView, phases: ReadonlyMap<string, InstancePhase>): readonly string[] {
  let from = 0;
  return waves.map((wave: WaveView) => {
    const mine = instances.slice(from, from + wave.size);
    from += wave.size;
    const marks = mine.slice(0, 60).map(({ id }) => MARKS[phases.get(id) ?? "waiting"]);
    return `wave ${wave.number} ${marks.join("")}${mine.length > 60 ? "…" : ""} ${wave.state === "open" ? "now" : wave.state}${wave.weight === undefined ? "" : `, ${wave.weight} % of the traffic`}`;
  });
}

/** One line that tells how far it is; the same line means that nothing changed. */
export function progressLine(view: RolloutView): string {
  const { counts, waves, status } = view;
  const open = waves.find(({ state }) => state === "open")?.number ?? waves.length;
  const rest = view.over ? view.reason : view.reason || view.waitingFor;
  return `${status}, wave ${open} of ${waves.length}, ${counts.moved} of ${counts.size} moved${counts.failed > 0 ? `, ${counts.failed} failed` : ""}${rest === "" ? "" : `: ${rest}`}`;
}

/** Who stopped what, why, until when, and how it ended. */
export function stopText({ id, fleet, owner, reason, from, until, except, lifted }: LineStop, { bold, green, yellow }: Colors): string {
  const isOver = lifted !== undefined || (until !== undefined && Date.parse(until) <= Date.now());
  const end =
    lifted === undefined
      ? until === undefined
        ? ""
        : ` until ${formatTime(until)}`
      : `, released by ${lifted.who} ${formatAge(lifted.at)}: ${lifted.reason}`;
  const but = except.length === 0 ? "" : `, but for ${except.map(short).join(", ")}`;
  return `${bold(id)} ${isOver ? green("over") : yellow("stopped")} ${fleet ?? "every fleet"} since ${formatTime(from)}${end}${but}, by ${owner}: ${reason}`;
}
