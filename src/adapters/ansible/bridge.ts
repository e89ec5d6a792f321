import { closeSync, existsSync, openSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";

/**
 * Ends the server in the sandbox, and with it everything that tasks left running. Nothing happens if it has ended.
 * The folder is opened first, since a unix socket's path may have 107 bytes only and a store may lie deep.
 */
export async function stopServer(folder: string): Promise<void> {
  if (!existsSync(join(folder, "socket"))) return;
  const descriptor = openSync(folder, "r");
  try {
    await new Promise<void>((resolve) => {
      const socket = connect(`/proc/self/fd/${descriptor}/socket`);
      socket.on("error", () => resolve());
      socket.on("close", () => resolve());
      socket.resume();
      socket.end('{"op": "stop"}\n');
    });
  } finally {
    closeSync(descriptor);
  }
}
