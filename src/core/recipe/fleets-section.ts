import { z } from "zod";
import type { ValuePath } from "../expression/substitute.ts";
import type { Fleet, FleetHealth, FleetPolicy, FleetProbe, FleetSource, LocalFleet, SshFleet, VmFleet } from "../fleet/model.ts";
import { slotsOf } from "../fleet/slots.ts";
import { policyOf } from "../simulation/policy-source.ts";
import { policySchema } from "../simulation/scenario.ts";
import { freezeOf, windowSchema } from "./channels.ts";
import { readWindows, windowFields } from "./cycle-section.ts";
import { gateSchema, readGates, type GateContext } from "./gates-section.ts";
import { suggestion } from "../text/did-you-mean.ts";
import { quote } from "./describe-value.ts";
import { DURATION, parseDuration } from "./duration.ts";
import { isMapping, readFields, type Inspection } from "./inspect.ts";
import { nameSchema } from "./schema.ts";
import { readHosts, sshFields, sshPart } from "./ssh-fleet-section.ts";

/** More cells than this do not fit into the memory of one machine with 24 GiB (measured: 16 MiB each). */
const MAX_SIZE = 1000;
/** An hour: whoever asks less often does not watch (a guess). */
const MAX_TIME_MS = 3_600_000;
const MAX_THRESHOLD = 100;

const TIME_RULE = "must be a time such as 500ms, 2s or 1m, at most 1h";
const timeSchema = z
  .string(TIME_RULE)
  .regex(DURATION, { error: TIME_RULE, abort: true })
  .refine((text) => parseDuration(text) > 0 && parseDuration(text) <= MAX_TIME_MS, TIME_RULE);

const portSchema = z.int().min(1).max(65_535);
const thresholdSchema = z.int().min(1).max(MAX_THRESHOLD);
const urlPathSchema = z.string().regex(/^\/[^\s]*$/, "must be the path of a URL, such as /health");

const probeFields = {
  http: z
    .union([urlPathSchema, z.strictObject({ path: urlPathSchema, port: portSchema.optional() })])
    .optional()
    .describe("A request to this path must be answered with 2xx or 3xx"),
  tcp: portSchema.optional().describe("This port must accept connections"),
  command: z.array(z.string().min(1)).min(1).optional().describe("This program, run inside, must end with 0"),
};

const healthFields = {
  ...probeFields,
  interval: timeSchema.default("2s").describe("Time between two looks"),
  timeout: timeSchema.default("2s").describe("How long one look may take"),
  healthy: thresholdSchema.default(2).describe("Good looks in a row that make an instance healthy"),
  unhealthy: thresholdSchema.default(3).describe("Bad looks in a row that make it unhealthy"),
};

const launchFields = {
  files: z
    .record(z.string().regex(/^\/[^/]/, "must be an absolute path of the machine"), z.string())
    .default({})
    .describe("Files by path"),
  credentials: z
    .record(z.string().regex(/^[a-zA-Z0-9._-]{1,200}$/, "must be the name of a systemd credential"), z.string())
    .default({})
    .describe("systemd credentials by name"),
  environment: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be the name of an environment variable"), z.string())
    .default({})
    .describe("Environment variables of every service"),
};

/** As in a scenario of the simulator, with gates that ask real sources: what was tried there can be written here. */
const policyFields = policySchema.omit({ gates: true });
const rolloutSchema = policyFields.extend({ gates: z.array(gateSchema).optional().describe("What must pass between waves") });

const NOTHING_AT_LAUNCH = { files: {}, credentials: {}, environment: {} };

/** Of every fleet. */
const commonFields = {
  description: z.string().optional().describe("What the fleet is for"),
  layer: nameSchema.optional().describe("The layer whose image it runs; needs channel"),
  channel: nameSchema.optional().describe("The channel that it follows; needs layer"),
  pinned: z.string().min(1).optional().describe("Name or digest of the one image that it runs, in place of layer and channel"),
  health: z.strictObject(healthFields).describe("When an instance is healthy: exactly one of http, tcp and command"),
  rollout: rolloutSchema.optional().describe("How it is brought to another image: strategy, budgets, gates"),
  first: z.array(z.string()).default([]).describe("Slots that a rollout always moves first, such as web-1"),
  neverFirst: z.array(z.string()).default([]).describe("Slots that a rollout moves last"),
  freeze: z.array(windowSchema).min(1).optional().describe("When no rollout begins anything new"),
  windows: z.array(z.strictObject(windowFields)).min(1).optional().describe("Rollouts begin something new only while one of these is open"),
  newRelease: z
    .enum(["refuse", "queue", "supersede"])
    .default("refuse")
    .describe("What becomes of a release while another rollout is under way: refused, started after it, or started in its place"),
};

/** Of fleets whose machines are cells of this one. */
const localFields = {
  size: z.int().min(1).max(MAX_SIZE).describe("How many instances there are"),
  zones: z
    .array(nameSchema)
    .min(1)
    .refine((zones) => new Set(zones).size === zones.length, "names a zone twice")
    .default(["local"])
    .describe("Zones that the instances are spread over"),
  traffic: z
    .strictObject({
      listen: portSchema.describe("Port of the load balancer, on the loopback of this machine"),
      backend: portSchema.describe("Port of the instances that it hands on to"),
    })
    .optional()
    .describe("The load balancer in front of it"),
  launch: z.strictObject(launchFields).default(NOTHING_AT_LAUNCH).describe("What each machine is given at launch"),
  secrets: z.array(z.string()).default([]).describe("Secrets of the recipe that each machine is given, as credentials of the same name"),
};

const MEMORY_RULE = "must be a size such as 512M or 2G, from 128M to 64G";
const MEMORY = /^([1-9]\d{0,5})(M|G)$/;
const MEMORY_MIB = { least: 128, most: 65_536 };
const memorySchema = z
  .string(MEMORY_RULE)
  .regex(MEMORY, { error: MEMORY_RULE, abort: true })
  .refine((text) => {
    const memoryMiB = memoryMiBOf(text);
    return memoryMiB >= MEMORY_MIB.least && memoryMiB <= MEMORY_MIB.most;
  }, MEMORY_RULE);

function memoryMiBOf(text: string): number {
  const [, count = "", unit = ""] = MEMORY.exec(text) ?? [];
  return Number(count) * (unit === "G" ? 1024 : 1);
}

/** Of fleets whose machines are virtual machines of this one: those of a local one, and what a machine has. */
const vmFields = { ...localFields, memory: memorySchema.default("512M").describe("Memory of each machine") };

const WHERE =
  "Where its instances live: cells of this machine (local), virtual machines of this machine (vm), or own machines that are reached by ssh";
const providerSchema = z.enum(["local", "vm", "ssh"]).default("local").describe(WHERE);

/** The shape of one fleet, for editors. */
export const fleetSchema = z.union([
  z.strictObject({ ...commonFields, provider: z.literal("local").default("local").describe(WHERE), ...localFields }),
  z.strictObject({ ...commonFields, provider: z.literal("vm").describe(WHERE), ...vmFields }),
  z.strictObject({ ...commonFields, provider: z.literal("ssh").describe(WHERE), ...sshFields }),
]);

/** What the rest of the recipe has, by name. */
interface Known {
  readonly layers: readonly string[];
  readonly channels: readonly string[];
  readonly secrets: readonly string[];
}

/** Reads `fleets:`. Nothing of it changes an image. Mistakes are told to the inspection. */
export function readFleets(inspection: Inspection, section: Readonly<Record<string, unknown>>, known: Known): readonly Fleet[] {
  const fleets = Object.entries(section).flatMap(([name, declaration]): readonly Fleet[] => {
    const path = ["fleets", name];
    inspection.check(nameSchema, name, path);
    const read = (isMapping(declaration) ? READERS.get(declaration["provider"]) : undefined) ?? readLocalFleet;
    const fleet = read(inspection, path, declaration, known);
    if (fleet === undefined) return [];
    checkRings(inspection, path, { name, ...fleet });
    return [{ name, ...fleet }];
  });
  checkPorts(inspection, fleets);
  checkMachines(inspection, fleets);
  return fleets;
}

/** Read part by part, so that a mistake in one does not hide those in another. */
const apart = {
  health: z.unknown().refine((value) => value !== undefined),
  provider: providerSchema,
  rollout: z.unknown(),
  windows: z.unknown(),
};

type Reader = (
  inspection: Inspection,
  path: ValuePath,
  declaration: unknown,
  known: Known,
) => Omit<LocalFleet, "name"> | Omit<VmFleet, "name"> | Omit<SshFleet, "name"> | undefined;

function readLocalFleet(inspection: Inspection, path: ValuePath, declaration: unknown, known: Known): Omit<LocalFleet, "name"> | undefined {
  const fields = readFields(inspection, declaration, path, { ...commonFields, ...localFields, ...apart, launch: z.unknown() });
  const made = fields === undefined ? undefined : readMade(inspection, path, fields, known);
  return made === undefined ? undefined : { ...made, provider: "local" };
}

function readVmFleet(inspection: Inspection, path: ValuePath, declaration: unknown, known: Known): Omit<VmFleet, "name"> | undefined {
  const fields = readFields(inspection, declaration, path, { ...commonFields, ...vmFields, ...apart, launch: z.unknown() });
  const made = fields === undefined ? undefined : readMade(inspection, path, fields, known);
  return made === undefined || fields?.memory === undefined
    ? undefined
    : { ...made, provider: "vm", memoryMiB: memoryMiBOf(fields.memory) };
}

type Made = Common & {
  readonly [Key in Exclude<keyof typeof localFields, "launch">]?: z.output<(typeof localFields)[Key]>;
} & { readonly health?: unknown; readonly rollout?: unknown; readonly windows?: unknown; readonly launch?: unknown };

/** What fleets have in common whose machines are made here. */
function readMade(inspection: Inspection, path: ValuePath, fields: Made, known: Known): Omit<LocalFleet, "name" | "provider"> | undefined {
  const { size, zones = ["local"], traffic, secrets = [] } = fields;
  const launch = fields.launch === undefined ? NOTHING_AT_LAUNCH : readFields(inspection, fields.launch, [...path, "launch"], launchFields);
  const common = readCommon(inspection, path, fields, known, traffic?.backend);
  checkSecrets(inspection, path, secrets, launch?.credentials ?? {}, known.secrets);
  if (common === undefined || size === undefined) return undefined;
  return {
    ...common,
    size,
    zones,
    ...(traffic === undefined ? {} : { traffic }),
    launch: { ...NOTHING_AT_LAUNCH, ...launch },
    secrets,
  };
}

function readSshFleet(inspection: Inspection, path: ValuePath, declaration: unknown, known: Known): Omit<SshFleet, "name"> | undefined {
  const hostsApart = z.unknown().refine((value) => value !== undefined);
  const fields = readFields(inspection, declaration, path, { ...commonFields, ...sshFields, ...apart, hosts: hostsApart });
  if (fields === undefined) return undefined;
  const hosts = fields.hosts === undefined ? undefined : readHosts(inspection, [...path, "hosts"], fields.hosts);
  const common = readCommon(inspection, path, fields, known);
  const ssh = sshPart(inspection, path, fields, hosts);
  return common === undefined || ssh === undefined ? undefined : { ...common, ...ssh, launch: NOTHING_AT_LAUNCH, secrets: [] };
}

/** Of the providers that are not the default. */
const READERS: ReadonlyMap<unknown, Reader> = new Map<unknown, Reader>([
  ["vm", readVmFleet],
  ["ssh", readSshFleet],
]);

type Common = {
  readonly [Key in Exclude<keyof typeof commonFields, "health" | "rollout" | "windows">]?: z.output<(typeof commonFields)[Key]>;
};

function readCommon(
  inspection: Inspection,
  path: ValuePath,
  fields: Common & { readonly health?: unknown; readonly rollout?: unknown; readonly windows?: unknown },
  known: Known,
  backend?: number,
): Pick<Fleet, "description" | "runs" | "health" | "rollout" | "first" | "neverFirst" | "freeze" | "windows" | "newRelease"> | undefined {
  const health = fields.health === undefined ? undefined : readFields(inspection, fields.health, [...path, "health"], healthFields);
  const runs = readSource(inspection, path, fields, known);
  const probe = health === undefined ? undefined : readProbe(inspection, [...path, "health"], health, backend);
  const port = backend ?? (probe === undefined || probe.kind === "command" ? undefined : probe.port);
  const rollout =
    fields.rollout === undefined
      ? undefined
      : readRollout(inspection, [...path, "rollout"], fields.rollout, { secrets: known.secrets, ...(port === undefined ? {} : { port }) });
  if (runs === undefined || probe === undefined || health === undefined) return undefined;
  return {
    ...(fields.description === undefined ? {} : { description: fields.description }),
    runs,
    health: healthOf(probe, health),
    ...(rollout === undefined ? {} : { rollout }),
    first: fields.first ?? [],
    neverFirst: fields.neverFirst ?? [],
    freeze: (fields.freeze ?? []).map(freezeOf),
    windows: fields.windows === undefined ? [] : readWindows(inspection, fields.windows, [...path, "windows"]),
    newRelease: fields.newRelease ?? "refuse",
  };
}

function readRollout(inspection: Inspection, path: ValuePath, value: unknown, context: GateContext): FleetPolicy | undefined {
  const { gates = [], ...rest } = isMapping(value) ? value : {};
  const read = readGates(inspection, gates, [...path, "gates"], context);
  const policy = inspection.check(policyFields, isMapping(value) ? rest : value, path);
  return policy === undefined ? undefined : { ...policyOf(policy), gates: read };
}

/** Slots that there are; in one of the two lists. */
function checkRings(inspection: Inspection, path: ValuePath, fleet: Fleet): void {
  const slots = slotsOf(fleet, fleet.size).map(({ slot }) => slot);
  const { first, neverFirst } = fleet;
  for (const [key, list] of Object.entries({ first, neverFirst }))
    for (const [index, slot] of list.entries()) {
      const place = [...path, key, index];
      if (!slots.includes(slot)) inspection.error(place, `there is no slot ${quote(slot)}`, suggestion(slot, slots, "slots"));
      else if (key === "neverFirst" && first.includes(slot)) inspection.error(place, `${quote(slot)} is among the first, too`);
    }
}

function readSource(inspection: Inspection, path: ValuePath, { layer, channel, pinned }: Common, known: Known): FleetSource | undefined {
  if (layer !== undefined && !known.layers.includes(layer))
    inspection.error([...path, "layer"], `there is no layer ${quote(layer)}`, suggestion(layer, known.layers, "layers"));
  if (channel !== undefined && !known.channels.includes(channel))
    inspection.error(
      [...path, "channel"],
      `there is no channel ${quote(channel)}`,
      suggestion(channel, known.channels, "channels") ?? "declare it under channels:",
    );
  if (pinned !== undefined && layer === undefined && channel === undefined) return { pinned };
  if (pinned === undefined && layer !== undefined && channel !== undefined) return { layer, channel };
  inspection.error(path, "it is not clear which image the fleet runs", "write layer and channel, or pinned alone", "key");
  return undefined;
}

type Health = { readonly [Key in keyof typeof healthFields]?: z.output<(typeof healthFields)[Key]> };

function readProbe(
  inspection: Inspection,
  path: ValuePath,
  { http, tcp, command }: Health,
  backend: number | undefined,
): FleetProbe | undefined {
  if ([http, tcp, command].filter((probe) => probe !== undefined).length !== 1) {
    inspection.error(path, "needs exactly one of http, tcp and command", "http: /health", "key");
    return undefined;
  }
  if (command !== undefined) return { kind: "command", argv: command };
  if (tcp !== undefined) return { kind: "tcp", port: tcp };
  const { path: url, port = backend ?? 80 } = typeof http === "string" ? { path: http } : (http ?? { path: "/" });
  return { kind: "http", path: url, port };
}

const healthOf = (probe: FleetProbe, { interval = "2s", timeout = "2s", healthy = 2, unhealthy = 3 }: Health): FleetHealth => ({
  probe,
  intervalMs: parseDuration(interval),
  timeoutMs: parseDuration(timeout),
  healthyAfter: healthy,
  unhealthyAfter: unhealthy,
});

function checkSecrets(
  inspection: Inspection,
  path: ValuePath,
  secrets: readonly string[],
  credentials: Readonly<Record<string, string>>,
  known: readonly string[],
): void {
  for (const [index, secret] of secrets.entries()) {
    const place = [...path, "secrets", index];
    if (!known.includes(secret))
      inspection.error(place, `there is no secret ${quote(secret)}`, suggestion(secret, known, "secrets") ?? "declare it under secrets:");
    else if (Object.hasOwn(credentials, secret))
      inspection.error(place, `launch.credentials has a ${quote(secret)} too`, "a machine has one credential of a name: rename that one");
  }
}

/** Two load balancers cannot listen on one port of this machine. */
function checkPorts(inspection: Inspection, fleets: readonly Fleet[]): void {
  const taken = new Map<number, string>();
  for (const { name, traffic } of fleets) {
    if (traffic === undefined) continue;
    const other = taken.get(traffic.listen);
    if (other !== undefined)
      inspection.error(["fleets", name, "traffic", "listen"], `fleet ${quote(other)} listens on ${traffic.listen} already`);
    else taken.set(traffic.listen, name);
  }
}

/** A machine has one release of a kind: two fleets would take it away from each other. */
function checkMachines(inspection: Inspection, fleets: readonly Fleet[]): void {
  const taken = new Map<string, string>();
  for (const fleet of fleets)
    for (const [index, { address, port }] of (fleet.provider === "ssh" ? fleet.hosts : []).entries()) {
      const machine = `${address}:${port}`;
      const other = taken.get(machine);
      if (other !== undefined && other !== fleet.name)
        inspection.error(["fleets", fleet.name, "hosts", index, "address"], `fleet ${quote(other)} has ${machine} already`);
      taken.set(machine, fleet.name);
    }
}
