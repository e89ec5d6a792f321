import type { ToolReport } from "../../adapters/host-tools/examine-host.ts";
import type { Terminal } from "../terminal.ts";
import { count, formatBytes, table } from "../text.ts";
import type { Diagnosis } from "./diagnose.ts";

/** The doctor's list for people. */
export function doctorText(diagnosis: Diagnosis, terminal: Terminal): string {
  const { green, yellow, red, bold, dim } = terminal.colors;
  const mark = (tool: ToolReport): string => {
    if (tool.state === "present") return green("ok");
    if (tool.state === "old") return yellow(`older than ${tool.minimum ?? ""}`);
    return isAsked(tool, diagnosis) ? red("missing") : dim("missing");
  };
  const rows = diagnosis.tools.map((tool) => [
    mark(tool),
    tool.name.slice(tool.name.lastIndexOf("/") + 1),
    tool.version ?? "",
    tool.debianPackage,
    tool.features.join(", "),
    tool.purpose,
  ]);
  const programs = table(
    [
      { title: "" },
      { title: "program", minimum: 12 },
      { title: "version" },
      { title: "Debian package", minimum: 8 },
      { title: "needed for", minimum: 6 },
      { title: "what it does", minimum: 8 },
    ],
    rows,
    { width: terminal.columns, styleTitle: dim },
  );
  const { store } = diagnosis;
  const sections = [programs, `${dim("store")}  ${store.folder}, ${formatBytes(store.freeBytes)} free\n`];
  if (store.overlay)
    sections.push(
      `${yellow("note")}   the store lies on an overlay file system, where no bake can mount its own: put it elsewhere with --store or BAKEHOUSE_HOME\n`,
    );
  if (diagnosis.faults.length > 0)
    sections.push(diagnosis.faults.map(({ what, remedy }) => `${red("fault")}  ${what}\n       ${remedy}\n`).join(""));
  sections.push(verdict(diagnosis, { green, red, bold }));
  return sections.join("\n");
}

const isAsked = (tool: ToolReport, { features }: Diagnosis): boolean =>
  features.includes("test") || tool.features.some((feature) => features.includes(feature));

function verdict(diagnosis: Diagnosis, { green, red, bold }: { readonly green: Style; readonly red: Style; readonly bold: Style }): string {
  if (diagnosis.ready) return `${green("Ready")} for ${diagnosis.features.join(", ")}.\n`;
  const faults = diagnosis.faults.length === 0 ? [] : [count(diagnosis.faults.length, "fault")];
  const missing = diagnosis.tools.filter((tool) => tool.state === "missing" && isAsked(tool, diagnosis)).length;
  const lines = [...faults, ...(missing === 0 ? [] : [`${count(missing, "program")} missing`])].join(", ");
  return `${red("Not ready")} for ${diagnosis.features.join(", ")}: ${lines}.\n${diagnosis.commands.map((line) => `  ${bold(line)}\n`).join("")}`;
}

type Style = (text: string) => string;
