import type { InstancePhase } from "../rollout/model.ts";
import { countsText, haltLines, momentText, namesText, spanText, type ReportedInstance, type RolloutReport } from "./rollout-report.ts";

const COLOURS: Readonly<Record<InstancePhase, string>> = {
  settled: "#8fb8a0",
  waiting: "#dddddd",
  moving: "#c98a1b",
  moved: "#2f7d4f",
  failed: "#b5432f",
  unreachable: "#7a4b8c",
  skipped: "#aaaaaa",
  left: "#ffffff",
  returning: "#d9a5a0",
  returned: "#4a76a8",
  stuck: "#6b1f12",
};

/** A page of its own: style and chart are in it, and it loads nothing. */
export function rolloutPage(report: RolloutReport): string {
  const { plan, halt, failures, gates, commands } = report;
  const title = `Rollout ${report.id} of ${report.fleet}: ${report.status}`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(title)}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
  table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }
  th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ddd; overflow-wrap: anywhere }
  td.time, th.time { white-space: nowrap; font-variant-numeric: tabular-nums }
  code { font: 14px ui-monospace, monospace; overflow-wrap: anywhere }
  svg { width: 100%; height: auto }
  svg text { font: 12px system-ui, sans-serif; fill: #222 }
  .key span { display: inline-block; margin-right: 1rem }
  .key i { display: inline-block; width: .8rem; height: .8rem; margin-right: .3rem; border: 1px solid #999 }
</style>
<h1>${escape(title)}</h1>
${report.reason === "" ? "" : `<p>${escape(report.reason)}</p>`}
${rows(
  ["", ""],
  [
    ["image", code(report.target)],
    ["image to go back to", report.back === undefined ? "none" : code(report.back)],
    ["started", escape(`${report.startedAt} by ${report.startedBy}`)],
    [report.over ? "ended" : "last heard of", report.endedAt ?? report.timeline.at(-1)?.at ?? report.startedAt],
    ["took", spanText(report.durationMs)],
    ["instances", escape(countsText(report.counts))],
  ],
)}
<h2>Instances over time</h2>
${chart(report)}
<h2>Plan</h2>
<p>Hash ${code(plan.hash)}. ${escape(plan.strategy)}.${plan.method === undefined ? "" : ` Instances: ${escape(plan.method)}.`} On a halt: ${plan.onHalt}.</p>
<ul>
${[...plan.limits, ...plan.gates.map((gate) => `gate ${gate}`)].map((line) => `<li>${escape(line)}</li>`).join("\n")}
</ul>
${rows(
  ["zone", "instances", "left at the worst moment"],
  plan.zones.map(({ zone, size, worst }) => [escape(zone), String(size), String(worst)]),
)}
<h2>Waves</h2>
${rows(
  ["wave", "instances", "traffic", "opened", "soak", "done"],
  report.waves.map((wave) => [
    String(wave.number),
    escape(namesText(wave.instances)),
    wave.weight === undefined ? "by number" : `${wave.weight} %`,
    momentText(wave.openedMs),
    spanText(wave.soakMs),
    momentText(wave.doneMs),
  ]),
)}
${
  halt === undefined
    ? ""
    : `<h2>Halt</h2>\n<ul>\n${haltLines(halt)
        .map((line) => `<li>${escape(line)}</li>`)
        .join("\n")}\n</ul>`
}
${section(
  "What failed",
  ["when", "instance", "zone", "wave", "what", "why", "in the end"],
  failures.map(({ ms, id, zone, wave, phase, why, end }) => [momentText(ms), id, zone, String(wave ?? ""), phase, why, end]),
)}
${section(
  "Gates",
  ["when", "wave", "gate", "verdict", "what it said"],
  gates.map(({ ms, wave, gate, verdict, detail }) => [momentText(ms), String(wave), gate, verdict, detail]),
)}
${section(
  "Commands",
  ["when", "command", "by", "reason", "refused"],
  commands.map(({ at, command, about, who, reason = "", refused = "" }) => [
    at,
    [command, about].filter(Boolean).join(" "),
    who,
    reason,
    refused,
  ]),
)}
${section(
  "Timeline",
  ["wall time", "since the start", "what", "because"],
  report.timeline.map(({ at, ms, what, reason = "" }) => [at, momentText(ms), what, reason]),
)}
</html>
`;
}

const MOST_ROWS = 2000;

function section(title: string, head: readonly string[], cells: readonly (readonly string[])[]): string {
  if (cells.length === 0) return "";
  const shown = cells.slice(0, MOST_ROWS).map((row) => row.map(escape));
  const left = cells.length - shown.length;
  return `<h2>${title}</h2>\n${rows(head, shown)}${left > 0 ? `<p>${left} more are left out.</p>` : ""}`;
}

const TIMES: ReadonlySet<string> = new Set(["when", "wall time", "since the start", "opened", "soak", "done"]);

/** Cells are markup already. */
function rows(head: readonly string[], cells: readonly (readonly string[])[]): string {
  const timed = head.map((name) => (TIMES.has(name) ? ' class="time"' : ""));
  const top = head.every((name) => name === "")
    ? ""
    : `<tr>${head.map((name, at) => `<th${timed[at] ?? ""}>${name}</th>`).join("")}</tr>\n`;
  const body = cells.map((row) => `<tr>${row.map((cell, at) => `<td${timed[at] ?? ""}>${cell}</td>`).join("")}</tr>`);
  return `<table>\n${top}${body.join("\n")}\n</table>`;
}

const ROW = 20;
const LEFT = 160;
const WIDTH = 840;
/** Of a large fleet those are drawn to which something happened, as many as can be looked at. */
const MOST_BARS = 200;

/** A bar for each instance, coloured by what became of it. */
function chart({ instances, durationMs, waves, halt }: RolloutReport): string {
  const told = instances.length <= MOST_BARS ? instances : instances.filter(({ phases }) => phases.length > 1);
  const drawn = told.slice(0, MOST_BARS);
  const total = Math.max(1, durationMs);
  const at = (ms: number): number => LEFT + Math.round((ms / total) * WIDTH);
  const bars = drawn.map(({ id, zone, phases, end }, index) => {
    const y = index * ROW + 4;
    const parts = phases.map(({ fromMs, phase }, place) => {
      const [x, to] = [at(fromMs), at(phases[place + 1]?.fromMs ?? total)];
      return `<rect x="${x}" y="${y}" width="${Math.max(1, to - x)}" height="${ROW - 6}" fill="${COLOURS[phase]}"><title>${escape(`${id}: ${phase} at ${momentText(fromMs)}`)}</title></rect>`;
    });
    return `<text x="${LEFT - 8}" y="${y + 11}" text-anchor="end">${escape(id)}<title>${escape(`${zone}, ${end}`)}</title></text>${parts.join("")}`;
  });
  const height = drawn.length * ROW + 24;
  const lines = [
    ...waves.flatMap(({ number, openedMs }) => (openedMs === undefined ? [] : [{ ms: openedMs, name: `wave ${number}` }])),
    ...(halt === undefined ? [] : [{ ms: halt.ms, name: "halt" }]),
  ].map(
    ({ ms, name }) =>
      `<line x1="${at(ms)}" x2="${at(ms)}" y1="0" y2="${height - 20}" stroke="#222" stroke-dasharray="2 3"/><text x="${at(ms) + 3}" y="${height - 6}">${name}</text>`,
  );
  const left = instances.length - drawn.length;
  return `<p class="key">${keyOf(drawn)}</p>
<svg viewBox="0 0 ${LEFT + WIDTH + 60} ${height}" role="img" aria-label="What each instance did, over time">${[...bars, ...lines].join("\n")}</svg>
${left > 0 ? `<p>${left} more instances are not drawn.</p>` : ""}`;
}

function keyOf(instances: readonly ReportedInstance[]): string {
  const used = new Set(instances.flatMap(({ phases }) => phases.map(({ phase }) => phase)));
  return [...used].map((phase) => `<span><i style="background:${COLOURS[phase]}"></i>${phase}</span>`).join("");
}

const code = (text: string): string => `<code>${escape(text)}</code>`;

const MARKUP: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => MARKUP[character] ?? "");
