import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { bakeExample, type BakedExample } from "../cells/bake-example.ts";
import { builtCli } from "../shared-store.ts";
import { freePort } from "../../src/adapters/local-host/free-port.ts";

export interface Ran {
  readonly code: number | string;
  readonly out: string;
  readonly err: string;
}

/** What a client saw that asked without a pause: how often each answer came. */
export type Answers = Readonly<Record<string, number>>;

/** The shop on a fleet of real cells behind HAProxy, in a store of its own, used by the command line as people do. */
export class ShopFleet {
  readonly port: number;
  private readonly baked: BakedExample;
  private readonly cliFile: string;
  private readonly running: ChildProcess[] = [];

  private constructor(baked: BakedExample, cliFile: string, port: number) {
    this.baked = baked;
    this.cliFile = cliFile;
    this.port = port;
  }

  /** @param rollout  lines below `rollout:` of the fleet `web` */
  static async open(size: number, rollout: string): Promise<ShopFleet> {
    const port = await freePort();
    const baked = await bakeExample("examples/shop", { apart: true });
    const file = join(baked.folder, "bakehouse.yaml");
    const recipe = readFileSync(file, "utf8").split("\nfleets:\n")[0] ?? "";
    writeFileSync(
      file,
      `${recipe}\nfleets:\n  web:\n    size: ${size}\n    zones: [a, b]\n    pinned: shop/release-volume\n    traffic: { listen: ${port}, backend: 80 }\n    health: { http: /health, interval: 200ms, healthy: 1 }\n    rollout:\n${rollout
        .trim()
        .split("\n")
        .map((line) => `      ${line.trim()}\n`)
        .join("")}`,
    );
    return new ShopFleet(baked, await builtCli(), port);
  }

  /** Bakes the shop once more. @param broken  its health says 500 */
  async bake(version: string, { broken = false }: { readonly broken?: boolean } = {}): Promise<void> {
    const service = join(this.baked.folder, "app/service.py");
    const whole = readFileSync(service, "utf8");
    if (broken) writeFileSync(service, whole.replace('self.answer(200, {"status": "ok"', 'self.answer(500, {"status": "broken"'));
    try {
      const { bakehouse } = this.baked;
      await bakehouse.bake(bakehouse.load(this.baked.folder, { parameters: { version } }));
    } finally {
      writeFileSync(service, whole);
    }
  }

  get store(): string {
    return this.baked.bakehouse.parts.store.root;
  }

  start(env: Readonly<Record<string, string>>, ...words: readonly string[]): ChildProcess {
    const child = spawn(process.execPath, [this.cliFile, "--store", this.store, ...words], {
      cwd: this.baked.folder,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.running.push(child);
    return child;
  }

  async run(...words: readonly string[]): Promise<Ran> {
    return finished(this.start({}, ...words));
  }

  async json<T>(...words: readonly string[]): Promise<T> {
    const { out, err } = await this.run(...words, "--json");
    if (out === "") throw new Error(err);
    return JSON.parse(out) as T;
  }

  /** Versions that the instances serve, asked one by one past the load balancer. */
  async versions(): Promise<readonly string[]> {
    const { instances } = await this.json<{ readonly instances: readonly { readonly id: string }[] }>("fleet", "ps", "web");
    return Promise.all(
      instances.map(async ({ id }) => (await this.run("fleet", "exec", "web", id, "--", "cat", "/srv/shop/version.txt")).out.trim()),
    );
  }

  /** Asks through the load balancer until it is told to stop. */
  ask(): { stop(): Promise<Answers> } {
    const answers: Record<string, number> = {};
    let goesOn = true;
    const lane = async (): Promise<void> => {
      while (goesOn) {
        const answer = await askOnce(this.port);
        answers[answer] = (answers[answer] ?? 0) + 1;
      }
    };
    const lanes = Promise.all([lane(), lane()]);
    return {
      stop: async () => {
        goesOn = false;
        await lanes;
        return answers;
      },
    };
  }

  async close(): Promise<void> {
    for (const child of this.running) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await this.run("rollout", "abort");
    await this.run("rollout", "watch", "--carry");
    const dissolved = await this.run("fleet", "dissolve", "web");
    const cells = await this.baked.bakehouse.parts.cells();
    const left = cells.list().map(({ name }) => name);
    for (const name of left) await cells.find(name).stop({ now: true });
    await this.baked.dispose();
    if (dissolved.code !== 0 || left.length > 0) throw new Error(`left: ${left.join(", ")} ${dissolved.err}`);
  }
}

export async function finished(child: ChildProcess): Promise<Ran> {
  const [[code, signal], out, err] = await Promise.all([
    once(child, "close") as Promise<[number | null, string | null]>,
    child.stdout === null ? "" : text(child.stdout),
    child.stderr === null ? "" : text(child.stderr),
  ]);
  return { code: code ?? signal ?? "", out, err };
}

/** `200 1.0.0`; a new connection each time, as different people have. */
const askOnce = (port: number): Promise<string> =>
  new Promise((resolve) => {
    const request = get({ host: "127.0.0.1", port, path: "/health", agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (part: string) => (body += part));
      response.on("end", () => resolve(`${response.statusCode ?? 0} ${/"version": "([^"]+)"/.exec(body)?.[1] ?? body.slice(0, 40)}`));
      response.on("error", (error) => resolve(String(error)));
    });
    request.on("error", (error) => resolve(String(error)));
  });
