import type { Verdict } from "../../core/checks/verdict.ts";
import type { BakehouseEvent, MissReason } from "../../core/events.ts";
import { shortDigest } from "../../core/digest.ts";
import type { Terminal } from "../terminal.ts";
import { count, formatBytes, formatDuration } from "../text.ts";

/** A sign in its colour for each verdict. */
export const VERDICT_SIGNS: Readonly<Record<Verdict, (colors: Terminal["colors"]) => string>> = {
  passed: ({ green }) => green("✔"),
  failed: ({ red }) => red("✖"),
  error: ({ yellow }) => yellow("!"),
  inconclusive: ({ yellow }) => yellow("?"),
};

/** Why a step is baked, in a few words; shared by both reporters, `plan` and the log. */
export function reasonText(reason: MissReason): string {
  switch (reason.kind) {
    case "never-baked":
      return "not baked before";
    case "parent-changed":
      return `${reason.parent} changed`;
    case "inputs-changed":
      return reason.changes.map(({ input, before, after }) => `${input}: ${before} → ${after}`).join(", ");
    case "asked":
      return `asked by ${reason.by}`;
    case "gone":
      return `${reason.what} is gone from the store`;
  }
}

/** One line for an event, or undefined for those that only a live view or `--verbose` shows. */
export function eventText(event: BakehouseEvent): string | undefined {
  switch (event.type) {
    case "bake-started":
      return `Baking ${event.recipe} (${count(event.steps, "step")}) from ${event.file}`;
    case "packages-fetching":
      return event.count === 0 ? undefined : `Fetching ${count(event.count, "package")}, ${formatBytes(event.totalBytes)}`;
    case "step-cached":
      return `${event.step}: from the cache, ${formatBytes(event.sizeBytes)}, ${shortDigest(event.diffId)}`;
    case "step-waiting":
      return `${event.step}: waiting for ${event.owner}, which bakes the same`;
    case "step-started":
      return `${event.step}: baking (${reasonText(event.reason)})`;
    case "step-baked":
      return `${event.step}: baked in ${formatDuration(event.durationMs)}, ${formatBytes(event.sizeBytes)}, ${shortDigest(event.diffId)}`;
    case "step-failed":
      return `${event.step}: failed after ${formatDuration(event.durationMs)} (${event.code})`;
    case "image-baked":
      return `image ${event.layer}: ${shortDigest(event.image)}${event.cached ? ", as before" : `, ${formatDuration(event.durationMs)}`}, ${formatBytes(event.sizeBytes)}${event.hermetic ? "" : ", NOT HERMETIC"}`;
    case "volume-baked":
      return `volume ${event.layer}: ${shortDigest(event.volume)} at ${event.path}, ${formatBytes(event.sizeBytes)}`;
    case "launch-made":
      return `launch ${event.layer}: ${shortDigest(event.launch)}${event.cached ? ", as before" : ""}, ${formatBytes(event.sizeBytes)}`;
    case "checks-started":
      return `Checking ${event.name} ${shortDigest(event.image)} (${count(event.checks, "check")})`;
    case "cell-starting":
      return `${event.name}: starting as a cell`;
    case "cell-started":
      return `cell ${event.cell}: ${event.state} after ${formatDuration(event.durationMs)}`;
    case "check-answered":
      return `${event.check}: ${event.verdict}, ${event.summary} (${formatDuration(event.durationMs)}${event.attempts > 1 ? `, attempt ${event.attempts}` : ""})`;
    case "checks-ended":
      return undefined;
    case "check-started":
    case "check-progress":
      return undefined;
    case "tidied":
      return `Tidied what an earlier run left: ${event.kind} ${event.id}`;
    case "warning":
      return `Warning: ${event.message}`;
    case "bake-ended":
      return event.outcome === "completed"
        ? `Done in ${formatDuration(event.durationMs)}`
        : `${event.outcome === "failed" ? "Failed" : "Stopped"} after ${formatDuration(event.durationMs)}`;
    case "packages-progress":
    case "step-progress":
    case "step-output":
      return undefined;
  }
}
