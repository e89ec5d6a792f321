import { readFileSync } from "node:fs";

/** Mount points of this process's namespace, in the order of mounting (proc(5), /proc/pid/mountinfo: field 5, octal escapes). */
export function mountPoints(): readonly { readonly path: string; readonly type: string }[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [before = "", after = ""] = line.split(" - ");
      return { path: unescapePath(before.split(" ")[4] ?? ""), type: after.split(" ")[0] ?? "" };
    });
}

const unescapePath = (text: string): string =>
  Buffer.from(
    text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
    "latin1",
  ).toString("utf8");
