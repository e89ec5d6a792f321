import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { appendFileSync, mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Message, Messenger, MessengerSurroundings } from "../../ports/messenger.ts";

/** Webhooks by HTTP, commands as processes of this machine, files by appending. */
export const localMessenger: Messenger = {
  send: async (message, to, surroundings) => {
    if (to.kind === "webhook") await post(message, to.url, surroundings);
    else if (to.kind === "command") await run(message, to.argv, surroundings);
    else append(message, resolve(surroundings.folder, to.path));
  },
};

/** The header that receivers compare: HMAC-SHA256 of the body, in hex. */
const SIGNATURE = "bakehouse-signature";

/** @see the CloudEvents HTTP binding: structured mode, one event */
async function post({ id, body }: Message, url: string, { secret, signal }: MessengerSurroundings): Promise<void> {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/cloudevents+json; charset=utf-8",
      "user-agent": "bakehouse",
      "bakehouse-event": id,
      ...(secret === undefined ? {} : { [SIGNATURE]: `sha256=${createHmac("sha256", secret).update(body).digest("hex")}` }),
    },
    body,
    redirect: "error",
    signal,
  }).catch((error: unknown) => {
    throw new Error(causeOf(error), { cause: error });
  });
  await response.arrayBuffer(); // so that the connection can be used again
  if (!response.ok) throw new Error(`it answered ${response.status}`);
}

/** `fetch failed` says nothing; what is behind it does. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message || String((error.cause as NodeJS.ErrnoException).code) : error.message;
}

const OUTPUT_SHOWN = 200;

function run(
  { body, id, type }: Message,
  [program = "", ...words]: readonly string[],
  { folder, signal }: MessengerSurroundings,
): Promise<void> {
  return new Promise((done, failed) => {
    const child = spawn(program, words, {
      cwd: folder,
      env: { ...process.env, BAKEHOUSE_EVENT_ID: id, BAKEHOUSE_EVENT_TYPE: type },
      stdio: ["pipe", "ignore", "pipe"],
      signal,
      killSignal: "SIGKILL",
    });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => void (said = (said + text).slice(-OUTPUT_SHOWN)));
    child.on("error", (error) => failed(error));
    child.on("close", (code, killed) =>
      code === 0 ? done() : failed(new Error(`it ended with ${killed ?? code}${said.trim() === "" ? "" : `: ${said.trim()}`}`)),
    );
    child.stdin.on("error", () => undefined); // it need not read
    child.stdin.end(`${body}\n`);
  });
}

function append({ body }: Message, file: string): void {
  mkdirSync(dirname(file), { recursive: true });
  appendFileSync(file, `${body}\n`); // one write: lines of several processes do not mix
}
