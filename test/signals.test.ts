import { spawn, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";

const root = dirname(import.meta.dirname);

/** The real frame with one command that waits for its signal; `stubborn` does not end when it is aborted. */
const program = `
  import { main } from "${join(root, "src/cli/main.ts")}";
  const command = {
    name: "wait", summary: "Wait", examples: [], arguments: { how: { summary: "How" } },
    run: ({ args, signal }) => new Promise((_, reject) => {
      const alive = setInterval(() => undefined, 1000);
      console.log("ready");
      signal.addEventListener("abort", () => {
        console.log("tidying");
        if (args.how === "polite") { clearInterval(alive); setTimeout(() => reject(signal.reason), 20); }
      });
    }),
    render: () => "",
  };
  process.exitCode = await main(process.argv.slice(1), { commands: [{ name: "wait", group: "Bake", summary: "Wait", load: async () => ({ command }) }] });
`;

async function wait(how: "polite" | "stubborn", signals: readonly NodeJS.Signals[]) {
  const child = spawn(process.execPath, ["--input-type=module", "-e", program, "wait", how], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  const left = [...signals];
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    const next = left.shift();
    if (next !== undefined) child.kill(next);
  });
  const code = await new Promise((resolve) => child.on("close", (exit, signal) => resolve(exit ?? signal)));
  return { code, out, err };
}

describe("stopping a command", () => {
  it.each([
    ["SIGINT", "Ctrl-C"],
    ["SIGTERM", "SIGTERM"],
    ["SIGHUP", "SIGHUP"],
  ] as const)("%s lets it tidy up and ends with 130", async (signal, name) => {
    expect(await wait("polite", [signal])).toEqual({
      code: 130,
      out: "ready\ntidying\n",
      err: `error CANCELLED Stopped by ${name} before it was done\n`,
    });
  });

  it("a second Ctrl-C ends at once", async () => {
    expect(await wait("stubborn", ["SIGINT", "SIGINT"])).toEqual({ code: 130, out: "ready\ntidying\n", err: "" });
  });
});

describe("output that cannot be written", () => {
  const say = `
    import { main } from "${join(root, "src/cli/main.ts")}";
    const command = { name: "say", summary: "Say", examples: [], run: async () => "the result\\n", render: (data) => data };
    process.exitCode = await main(["say"], { commands: [{ name: "say", group: "Bake", summary: "Say", load: async () => ({ command }) }] });
    process.stderr.write("and on\\n");
  `;
  const run = (redirected: string): { readonly code: number | null; readonly err: string } => {
    const { status, stderr } = spawnSync("sh", ["-c", `exec "$0" --input-type=module -e "$1" ${redirected}`, process.execPath, say], {
      cwd: root,
      encoding: "utf8",
    });
    return { code: status, err: stderr };
  };

  it("is told, without a stack, when it is the result", () => {
    const { code, err } = run(">/dev/full");
    expect(err).toContain("error OUTPUT_LOST Cannot write the result: ENOSPC");
    expect(err).not.toMatch(/^ +at /m);
    expect(code).toBe(1);
  });

  it("is not missed when it is progress", () => {
    expect(run("2>/dev/full")).toEqual({ code: 0, err: "" });
  });
});
