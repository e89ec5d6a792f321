import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import type { Cell } from "../ports/cells.ts";
import { failed, passed } from "./lib/answers.ts";
import { port } from "./lib/options.ts";
import { listenerFiles } from "./lib/self-test.ts";

const entry = () =>
  z.union([
    port(),
    z.string().regex(/^[1-9]\d{0,4}\/(?:tcp|udp)$/, { error: (issue) => `${JSON.stringify(issue.input)} is no port such as 80 or 53/udp` }),
  ]);
const full = z.strictObject({
  expect: z.array(entry()).default([]).describe("Ports that may be listened on; TCP unless written as 53/udp"),
  loopback: z.boolean().default(false).describe("true: look at what only listens on 127.0.0.0/8 and ::1, too"),
});
const options = z.union([z.array(entry()).describe("Ports that may be listened on"), full]);

interface Listener {
  readonly port: string;
  readonly address: string;
  readonly inode: string;
}

/** Reads the sockets of the machine. */
export const portClosed = defineCheck({
  id: "port-closed",
  version: 1,
  summary: "Only expected ports are listened on",
  description:
    "Reads the machine's sockets from its kernel tables, TCP and UDP, IPv4 and IPv6, when the other checks are done, and names the program of each that is not expected. A port that is expected and closed is not this check's business: `tcp` asks for it.",
  examples: [`- port-closed: [22, 80]`, `- port-closed: { expect: [80, 53/udp], loopback: true }`],
  options,
  platform: "cell",
  needs: ["cell"],
  defaults: { retries: 0, intervalMs: 0, timeoutMs: 20_000 },
  runsLast: true,
  async run({ options: given, cell, signal }) {
    const wanted = Array.isArray(given) ? full.parse({ expect: given }) : given;
    const expected = new Set(wanted.expect.map((one) => (typeof one === "number" ? `${one}/tcp` : one)));
    const open = (await listenersOf(cell, signal)).filter(({ address }) => wanted.loopback || !isLoopback(address));
    const unexpected = open.filter((listener) => !expected.has(listener.port));
    const ports = [...new Set(open.map((listener) => listener.port))].sort();
    if (unexpected.length === 0)
      return passed(ports.length === 0 ? "no port is listened on" : `listened on: ${ports.join(", ")}`, { answered: ports });
    const named = await Promise.all(unexpected.map(async (one) => `${one.port} on ${one.address} (${await programOf(cell, one, signal)})`));
    const listed = [...new Set(named)];
    return failed(`${listed.join(", ")} is listened on`, {
      answered: ports,
      excerpt: listed,
      remedy: "stop or mask what listens, bind it to 127.0.0.1, or name the port under `expect:`",
    });
  },
  selfTest: {
    sound: { options: { expect: [] } },
    faulty: { options: { expect: [] }, files: listenerFiles(7394, "printf hello") },
  },
});

const TABLES = ["tcp", "tcp6", "udp", "udp6"] as const;

/** proc(5): TCP sockets that listen have state 0A; UDP sockets that wait for anybody have 07. */
async function listenersOf(cell: Cell, signal: AbortSignal): Promise<readonly Listener[]> {
  const script = TABLES.map((table) => `echo "# ${table}"; cat /proc/net/${table} 2>/dev/null`).join("; ");
  const asked = await cell.exec(["/bin/sh", "-c", script], { timeoutMs: 10_000, signal });
  if (!asked.stdout.includes("local_address")) throw new Error(`the kernel's tables of sockets could not be read: ${asked.stderr.trim()}`);
  let table = "";
  return asked.stdout.split("\n").flatMap((line): readonly Listener[] => {
    if (line.startsWith("# ")) table = line.slice(2);
    const [, local = "", , state = "", , , , , , inode = ""] = line.trim().split(/\s+/);
    if (!/^[0-9A-F]+:[0-9A-F]{4}$/.test(local) || state !== (table.startsWith("tcp") ? "0A" : "07")) return [];
    const [address = "", hexPort = ""] = local.split(":");
    return [{ port: `${Number.parseInt(hexPort, 16)}/${table.slice(0, 3)}`, address: addressOf(address), inode }];
  });
}

/** The kernel writes addresses as 32-bit words in the byte order of the machine. */
function addressOf(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) => (word.match(/../g) ?? []).toReversed().map((pair) => Number.parseInt(pair, 16)));
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.every((byte) => byte === 0)) return "::";
  const groups = Array.from({ length: 8 }, (_, index) => (((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0)).toString(16));
  return groups.join(":").replace(/^(?:0:){7}/, "::");
}

const isLoopback = (address: string): boolean => address.startsWith("127.") || address === "::1" || address.startsWith("0:0:0:0:0:ffff:7f");

async function programOf(cell: Cell, { inode }: Listener, signal: AbortSignal): Promise<string> {
  const script = `for p in /proc/[0-9]*; do if ls -l $p/fd 2>/dev/null | grep -q "socket:\\[${inode}\\]"; then cat $p/comm; break; fi; done`;
  const found = await cell.exec(["/bin/sh", "-c", script], { timeoutMs: 5000, signal });
  return found.stdout.trim() || "an unknown program";
}
