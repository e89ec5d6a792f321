import { readFileSync } from "node:fs";

/** Version of the host's Ansible; read here rather than in the Ansible adapter, which is loaded for a bake only. */
export function hostAnsibleVersion(): string | undefined {
  try {
    return /__version__ = '([^']+)'/.exec(readFileSync("/usr/lib/python3/dist-packages/ansible/release.py", "utf8"))?.[1];
  } catch {
    return undefined;
  }
}
