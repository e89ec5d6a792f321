import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where our Python files lie: beside this file in a checkout, in `dist/ansible-plugin` in the package (whose chunks may lie deeper). */
export function pluginFolder(from: string = dirname(fileURLToPath(import.meta.url))): string {
  const candidates = [
    join(from, "plugin"),
    ...[".", "..", "../..", "../../.."].flatMap((up) => [join(from, up, "ansible-plugin"), join(from, up, "dist/ansible-plugin")]),
  ];
  const found = candidates.find((folder) => existsSync(join(folder, "bakehouse_server.py")));
  if (found === undefined) throw new Error(`The Ansible plugin is missing from the package (looked from ${from})`);
  return found;
}
