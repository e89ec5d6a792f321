// What no committed text may hold: host names of mirrors and registries (they come from the machine or the recipe), paths
// of one machine, white space at line ends, files without a last newline.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dirname);
/** Written in pieces, so that this file does not find itself. */
const MIRRORS = new RegExp(
  [
    "(?:deb|security|ftp|snapshot)\\.",
    "debian\\.org|",
    "archive\\.",
    "ubuntu\\.com|",
    "registry\\.",
    "npmjs\\.org|",
    "\\bdocker\\.",
    "io/|",
    "\\bquay\\.",
    "io/",
  ].join(""),
);
const MACHINE_PATHS = new RegExp(["/wo", "rk/(?:main|shared)|/ho", "me/[a-z]+/"].join(""));

// Also what is not committed yet, but nothing that git ignores.
const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8" })
  .split("\0")
  .filter(
    (file) => file !== "" && /(^|\/)[^.]*$|\.(ts|mjs|cjs|js|json|md|sh|yaml|yml|j2|py|conf|service|lock)$/.test(file) && file !== "LICENSE",
  );

const problems = files.flatMap((file) => {
  const text = readText(join(root, file));
  if (text === undefined || text.includes("\0")) return [];
  const found = text.split("\n").flatMap((line, index) => {
    const place = `${file}:${index + 1}`;
    if (MIRRORS.test(line)) return [`${place}: names a mirror or registry: ${MIRRORS.exec(line)?.[0]}`];
    if (MACHINE_PATHS.test(line)) return [`${place}: names a path of one machine: ${MACHINE_PATHS.exec(line)?.[0]}`];
    return /[ \t]+$/.test(line) && !file.endsWith(".md") ? [`${place}: white space at the end of the line`] : [];
  });
  return text !== "" && !text.endsWith("\n") ? [...found, `${file}: no newline at the end`] : found;
});
console.log([...problems, `${files.length} files`].join("\n"));
process.exitCode = problems.length === 0 && files.length > 20 ? 0 : 1;

/** A file that was just removed, or a link, is not looked at. */
function readText(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
