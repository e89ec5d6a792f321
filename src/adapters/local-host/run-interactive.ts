import { spawn } from "node:child_process";
import { constants } from "node:os";

/**
 * Runs a program with this process's own terminal and waits for its end. Ctrl-C reaches it from the terminal itself; when
 * `signal` aborts for another reason it is asked to end.
 *
 * @returns its exit code, or 128 and the number of the signal that ended it, as shells count
 */
export function runInteractive(argv: readonly string[], signal: AbortSignal): Promise<{ readonly exitCode: number }> {
  const [program = "sh", ...words] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: "inherit", env: { ...process.env, PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } });
    const onAbort = (): void => void child.kill("SIGTERM");
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    child.on("error", reject);
    child.on("close", (code, name) => {
      signal.removeEventListener("abort", onAbort);
      resolve({ exitCode: code ?? 128 + constants.signals[name ?? "SIGTERM"] });
    });
  });
}
