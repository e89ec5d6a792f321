/** systemd-system.conf(5): what every service of the machine has in its environment. */
export function environmentFile(environment: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const entries = Object.entries(environment).map(
    ([name, value]) => `"${name}=${value.replaceAll(/["\\]/g, "\\$&").replaceAll("%", "%%")}"`,
  );
  if (entries.length === 0) return {};
  return { "/etc/systemd/system.conf.d/50-launch.conf": `[Manager]\nDefaultEnvironment=${entries.join(" ")}\n` };
}
