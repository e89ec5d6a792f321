import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import { failed, passed } from "./lib/answers.ts";
import { port } from "./lib/options.ts";
import { listenerFiles } from "./lib/self-test.ts";

const options = z.union([
  port().describe("Port that must accept connections"),
  z.strictObject({ port: port().describe("Port that must accept connections") }),
]);

/** Opens a TCP connection to the machine. */
export const tcp = defineCheck({
  id: "tcp",
  version: 1,
  summary: "A TCP port accepts connections",
  description: "Connects from outside, over the machine's network. Nothing is sent.",
  examples: [`- tcp: 22`, `- tcp: { port: 5432 }\n  retries: 50`],
  options,
  platform: "cell",
  needs: ["cell"],
  defaults: { retries: 20, intervalMs: 100, timeoutMs: 2_000 },
  async run({ options: given, cell, timeoutMs }) {
    const wanted = typeof given === "number" ? given : given.port;
    const answer = await cell.connect(wanted, timeoutMs - 100);
    if (answer === "open") return passed(`port ${wanted} accepts connections`, { answered: { port: wanted, answer } });
    return failed(answer === "refused" ? `port ${wanted} refuses connections` : `port ${wanted} does not answer`, {
      answered: { port: wanted, answer },
      remedy: "does the service listen on all addresses, and has it started? `service` says more",
    });
  },
  selfTest: {
    sound: { options: 7391, files: listenerFiles(7391, "printf hello") },
    faulty: { options: 7392 },
  },
});
