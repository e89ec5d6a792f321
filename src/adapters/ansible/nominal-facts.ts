import type { JsonValue } from "../../core/json.ts";

/** What is laid over the facts that Ansible gathers; names without the `ansible_` prefix. */
export interface NominalFacts {
  readonly set: Readonly<Record<string, JsonValue>>;
  readonly remove: readonly string[];
}

/**
 * The machine that every image is baked "on". Facts about processors, memory, disks, kernel and time would tell about the
 * host that bakes, and a template that uses them would give another image elsewhere; so they are the same everywhere: a
 * small machine at the time of SOURCE_DATE_EPOCH. What cannot be made up (serial numbers, disks, uptime) is left out.
 */
export const nominalFacts = (epochSeconds: number, overrides: Readonly<Record<string, JsonValue>>): NominalFacts => ({
  set: { ...MACHINE, date_time: dateTimeFacts(epochSeconds), ...overrides },
  remove: HOST_FACTS.filter((name) => !(name in overrides)),
});

const MEMORY_MB = 1024;

const MACHINE: Readonly<Record<string, JsonValue>> = {
  architecture: "x86_64",
  machine: "x86_64",
  userspace_architecture: "x86_64",
  userspace_bits: "64",
  kernel: "0.0.0-bakehouse",
  kernel_version: "",
  system: "Linux",
  hostname: "bakehouse",
  nodename: "bakehouse",
  fqdn: "bakehouse",
  domain: "",
  processor: ["0", "nominal", "nominal"],
  processor_count: 1,
  processor_cores: 1,
  processor_threads_per_core: 1,
  processor_vcpus: 1,
  processor_nproc: 1,
  memtotal_mb: MEMORY_MB,
  memfree_mb: MEMORY_MB,
  memory_mb: {
    real: { total: MEMORY_MB, used: 0, free: MEMORY_MB },
    nocache: { free: MEMORY_MB, used: 0 },
    swap: { total: 0, free: 0, used: 0, cached: 0 },
  },
  swaptotal_mb: 0,
  swapfree_mb: 0,
  mounts: [],
  devices: {},
  virtualization_type: "container",
  virtualization_role: "guest",
  virtualization_tech_guest: ["container"],
  virtualization_tech_host: [],
  interfaces: ["lo"],
  all_ipv4_addresses: [],
  all_ipv6_addresses: [],
  default_ipv4: {},
  default_ipv6: {},
  apparmor: { status: "disabled" },
  // process 1 is the sandbox's own, which Ansible would take for an unknown service manager
  service_mgr: "systemd",
  fips: false,
  loadavg: { "1m": 0, "5m": 0, "15m": 0 },
  local: {},
  // like a chroot, nothing runs here: roles that ask leave services alone
  is_chroot: true,
};

const HOST_FACTS: readonly string[] = [
  "uptime_seconds",
  "device_links",
  "lvm",
  "machine_id",
  "product_name",
  "product_serial",
  "product_uuid",
  "product_version",
  "system_vendor",
  "bios_date",
  "bios_vendor",
  "bios_version",
  "board_asset_tag",
  "board_name",
  "board_serial",
  "board_vendor",
  "board_version",
  "chassis_asset_tag",
  "chassis_serial",
  "chassis_vendor",
  "chassis_version",
  "form_factor",
  "proc_cmdline",
  "cmdline",
  "hostnqn",
  "iscsi_iqn",
  "ssh_host_key_rsa_public",
  "ssh_host_key_rsa_public_keytype",
  "ssh_host_key_ecdsa_public",
  "ssh_host_key_ecdsa_public_keytype",
  "ssh_host_key_ed25519_public",
  "ssh_host_key_ed25519_public_keytype",
];

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const;
const two = (value: number): string => String(value).padStart(2, "0");

/** `ansible_date_time` at an instant, in UTC, in the members that ansible-core 2.14 documents. */
export function dateTimeFacts(epochSeconds: number): Readonly<Record<string, string>> {
  const at = new Date(epochSeconds * 1000);
  const [date, time] = [at.toISOString().slice(0, 10), at.toISOString().slice(11, 19)];
  const compact = `${date}T${time}`.replaceAll(/[-:]/g, "");
  const dayOfYear = Math.floor((at.getTime() - Date.UTC(at.getUTCFullYear(), 0, 1)) / 86_400_000);
  return {
    year: String(at.getUTCFullYear()),
    month: two(at.getUTCMonth() + 1),
    day: two(at.getUTCDate()),
    weekday: DAYS[at.getUTCDay()] ?? "",
    weekday_number: String(at.getUTCDay()),
    weeknumber: two(Math.floor((dayOfYear + 7 - ((at.getUTCDay() + 6) % 7)) / 7)),
    hour: two(at.getUTCHours()),
    minute: two(at.getUTCMinutes()),
    second: two(at.getUTCSeconds()),
    epoch: String(epochSeconds),
    epoch_int: String(epochSeconds),
    date,
    time,
    iso8601: `${date}T${time}Z`,
    iso8601_micro: `${date}T${time}.000000Z`,
    iso8601_basic: `${compact}000000`,
    iso8601_basic_short: compact,
    tz: "UTC",
    tz_dst: "UTC",
    tz_offset: "+0000",
  };
}
