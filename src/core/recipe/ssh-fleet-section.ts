import { z } from "zod";
import type { SshFleet, SshHost } from "../fleet/model.ts";
import type { ValuePath } from "../expression/substitute.ts";
import { quote } from "./describe-value.ts";
import { readFields, type Inspection } from "./inspect.ts";
import { nameSchema } from "./schema.ts";

/** What a key of each kind begins with: the length of the kind's name and that name (RFC 4253, section 6.6), in base64. */
const KEY_BEGINS: Readonly<Record<string, string>> = {
  "ssh-ed25519": "AAAAC3NzaC1lZDI1NTE5AAAAI",
  "ssh-rsa": "AAAAB3NzaC1yc2EA",
  "ecdsa-sha2-nistp256": "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYA",
  "ecdsa-sha2-nistp384": "AAAAE2VjZHNhLXNoYTItbmlzdHAzODQA",
  "ecdsa-sha2-nistp521": "AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEA",
};

const KEY_RULE = "must be the host's public key, such as ssh-ed25519 AAAA… (`cat /etc/ssh/ssh_host_ed25519_key.pub` there)";
const hostKeySchema = z.string(KEY_RULE).refine((text) => {
  const [kind = "", key = ""] = text.split(" ");
  const begin = KEY_BEGINS[kind];
  return !text.includes("\n") && begin !== undefined && key.startsWith(begin) && /^[A-Za-z0-9+/]{60,}={0,2}$/.test(key);
}, KEY_RULE);

// what begins with a hyphen would be an option of ssh
const addressSchema = z
  .string()
  .regex(/^[A-Za-z0-9:][A-Za-z0-9.:_-]*$/, "must be a host name or an address, such as 10.0.0.11")
  .describe("Name or address");

const argvSchema = z.array(z.string().min(1)).min(1);

const hostFields = {
  name: nameSchema.describe("What the instance is called"),
  address: addressSchema,
  port: z.int().min(1).max(65_535).default(22).describe("Port of its sshd"),
  user: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]*$/, "must be the name of a user")
    .default("root")
    .describe("Who logs in; another than root must be allowed everything by `sudo -n`"),
  zone: nameSchema.default("local").describe("Zone that it is in"),
  hostKey: hostKeySchema.describe("Its public host key; a host that has another is refused"),
  labels: z.record(z.string(), z.string()).default({}).describe("Whatever is to be known of it"),
};

/** What a fleet of own machines has beside what every fleet has. */
export const sshFields = {
  hosts: z.array(z.strictObject(hostFields)).min(1).describe("The machines"),
  identity: z.string().min(1).describe("File of the private key that logs in; from the recipe's folder"),
  root: z
    .string()
    .regex(/^(\/[A-Za-z0-9._-]+)+$/, "must be an absolute path, of letters, digits and ._- alone")
    .default("/var/lib/bakehouse")
    .describe("Folder of each machine that releases are kept in"),
  size: z.int().optional().describe("How many hosts there are, if given"),
  traffic: z
    .strictObject({
      drain: argvSchema.describe("Run on a machine that is taken out of traffic"),
      admit: argvSchema.describe("Run on a machine that is let in again"),
    })
    .optional()
    .describe("How a load balancer is told"),
};

type Read = { readonly [Key in Exclude<keyof typeof sshFields, "hosts">]?: z.output<(typeof sshFields)[Key]> };
type OfSsh = Pick<SshFleet, "provider" | "size" | "zones" | "hosts" | "identity" | "root" | "hooks">;

/** Hosts one by one, so that a mistake in one does not hide those in another. */
export function readHosts(inspection: Inspection, path: ValuePath, hosts: unknown): readonly SshHost[] | undefined {
  if (!Array.isArray(hosts) || hosts.length === 0) {
    const hint = "hosts: [{ name: web-1, address: 10.0.0.11, hostKey: ssh-ed25519 AAAA… }]";
    inspection.error(path, "needs at least one host", hint);
    return undefined;
  }
  const found = hosts.map((host: unknown, index) => readHost(inspection, [...path, index], host));
  for (const [index, host] of found.entries()) {
    const before = found.slice(0, index);
    if (host === undefined) continue;
    if (before.some((other) => other?.name === host.name))
      inspection.error([...path, index, "name"], `there is a host ${quote(host.name)} already`);
    const same = before.find((other) => other?.address === host.address && other.port === host.port);
    if (same !== undefined)
      inspection.error([...path, index, "address"], `this is the address of ${quote(same.name)}`, "a machine is one instance");
  }
  const hostsRead = found.filter((host) => host !== undefined);
  return hostsRead.length === hosts.length ? hostsRead : undefined;
}

function readHost(inspection: Inspection, path: ValuePath, host: unknown): SshHost | undefined {
  const read = readFields(inspection, host, path, hostFields);
  if (read?.name === undefined || read.address === undefined || read.hostKey === undefined) return undefined;
  return { port: 22, user: "root", zone: "local", labels: {}, ...read, name: read.name, address: read.address, hostKey: read.hostKey };
}

/** The part that only fleets of own machines have. */
export function sshPart(
  inspection: Inspection,
  path: ValuePath,
  { identity, root, size, traffic }: Read,
  hosts: readonly SshHost[] | undefined,
): OfSsh | undefined {
  if (hosts === undefined || identity === undefined || root === undefined) return undefined;
  if (size !== undefined && size !== hosts.length) {
    inspection.error([...path, "size"], `is ${size}, and there are ${hosts.length} hosts`, "leave it out");
    return undefined;
  }
  const zones = [...new Set(hosts.map(({ zone }) => zone))];
  return { provider: "ssh", size: hosts.length, zones, hosts, identity, root, ...(traffic === undefined ? {} : { hooks: traffic }) };
}
