import type { ImageRoot } from "../../ports/image-root.ts";

/** invoke-rc.d(8): 101 means that the action is not allowed. */
const POLICY = "/usr/sbin/policy-rc.d";
const DENY = "#!/bin/sh\nexit 101\n";
const SSH = "/etc/ssh";

/**
 * Keeps packages from starting services, and host keys out of the image, while dpkg runs.
 *
 * @returns undoes it, and takes away the host keys that came into being in spite of the shim
 */
export function guardImage(root: ImageRoot): () => void {
  const policy = root.read(POLICY);
  const attributes = root.stat(POLICY);
  const keys = new Set(hostKeys(root));
  root.write(POLICY, DENY, { mode: 0o755 });
  return () => {
    if (policy === undefined) root.remove(POLICY);
    else root.write(POLICY, policy, attributes);
    for (const key of hostKeys(root)) if (!keys.has(key)) root.remove(key);
  };
}

const hostKeys = (root: ImageRoot): readonly string[] =>
  root
    .list(SSH)
    .filter((name) => /^ssh_host_.*_key(\.pub)?$/.test(name))
    .map((name) => `${SSH}/${name}`);
