import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { errorOf, Kitchen } from "./kitchen.ts";

const SECRET = "s3cr3t-Val/ue+with=odd&signs";
const TOP = "secrets:\n  token: { env: SHOP_TOKEN }\n  key: { file: secret.key }\n";
const KEY = `-----BEGIN THING-----\n${"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0".repeat(2)}\n-----END THING-----\n`;

let kitchen: Kitchen;
const outside = mkdtempSync(join(tmpdir(), "bakehouse-secret-"));
afterAll(() => rmSync(outside, { recursive: true, force: true }));
beforeEach(async () => {
  kitchen = await Kitchen.open();
});
afterEach(() => kitchen.close());

const recipe = (script: string): void => {
  kitchen.write("secret.key", KEY);
  kitchen.steps(`- name: private\n  secrets: [token, key]\n  run: |\n${script.replaceAll(/^(?=.)/gm, "    ")}`, TOP);
};
const env = { SHOP_TOKEN: SECRET };

/** Files of the store that hold a text, whatever they are. */
const holding = (text: string): readonly string[] => {
  try {
    return execFileSync("grep", ["-r", "-l", "-a", "-F", "-e", text, kitchen.store], { encoding: "utf8" }).trim().split("\n");
  } catch {
    return [];
  }
};

describe("a secret", () => {
  it("is read by the step and nowhere else to be found: argv, environment, output, log, events, diff, store", async () => {
    recipe(
      'cat /run/secrets/token /run/secrets/key; echo "token: $(cat /run/secrets/token)" >&2; sleep 1; wc -c </run/secrets/token >/srv/length',
    );
    const bake = kitchen.start(["bake", "-v", "--events"], { env });
    const seen = watchProcesses(bake.pid);
    const run = await bake.ended;
    const processes = await seen.stop();
    expect(run.code).toBe(0);
    expect(processes.watched).toBeGreaterThan(5);
    expect(processes.found).toEqual([]);
    for (const text of [run.stdout, run.stderr]) {
      expect(text).not.toContain(SECRET);
      expect(text).not.toContain("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0");
    }
    expect(run.stdout + run.stderr).toMatch(/token: /); // the line itself is there
    for (const text of [SECRET, Buffer.from(SECRET).toString("base64"), "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0"])
      expect(holding(text)).toEqual([]);
    expect(await kitchen.leftovers()).toEqual([]);
  });

  it("with another value hits the cache: the value is no part of the key", async () => {
    recipe("wc -l </run/secrets/key >/srv/lines");
    const first = await kitchen.bake([], { env });
    expect(await kitchen.bake([], { env: { SHOP_TOKEN: "another" } })).toEqual({ digests: first.digests, hits: 2, baked: 0 });
    expect(await kitchen.bake()).toEqual({ digests: first.digests, hits: 2, baked: 0 }); // not even asked for
  });

  it("that is not given is named, all at once", async () => {
    recipe("true");
    rmSync(join(kitchen.recipe, "secret.key"));
    const run = await kitchen.cli(["bake", "--json"]);
    const error = errorOf(run);
    expect(error.code).toBe("SECRET_MISSING");
    expect(error.message).toContain("the environment variable SHOP_TOKEN is not set");
    expect(error.message).toContain("the file secret.key cannot be read");
    expect(run.code).toBe(2);
  });

  it.each([
    ["as it is", "mkdir -p /srv/deep; cp /run/secrets/token /srv/deep/copy", "/srv/deep/copy", "plain"],
    [
      "in base64",
      `printf %s "$(cat /run/secrets/token)" | perl -e 'print pack "u", ""; my $s = <STDIN>; my @a = ("A".."Z","a".."z",0..9,"+","/"); my $b = unpack "B*", $s; $b .= "0" x (-length($b) % 6); print "prefix ", join("", map { $a[oct "0b$_"] } $b =~ /.{6}/g), "=" x ((3 - length($s) % 3) % 3)' > /srv/encoded`,
      "/srv/encoded",
      "base64",
    ],
    [
      "escaped for a URL",
      `printf %s "$(cat /run/secrets/token)" | perl -pe 's/([^A-Za-z0-9_.~-])/sprintf "%%%02X", ord $1/ge' > /srv/url`,
      "/srv/url",
      "url",
    ],
    ["as one of its lines", "head -n 2 /run/secrets/key | tail -n 1 > /srv/line", "/srv/line", "line"],
    [
      "in the middle of a large file",
      "{ head -c 5000000 /dev/zero; cat /run/secrets/token; head -c 5000000 /dev/zero; } > /srv/large",
      "/srv/large",
      "plain",
    ],
    ["as the name of a file", 'touch "/srv/$(tr / _ </run/secrets/token)"; cat /run/secrets/token > /etc/second', "/etc/second", "plain"],
    ["as the target of a link", 'ln -s "$(cat /run/secrets/token)" /srv/link', "/srv/link", "plain"],
  ])("that is left in the image %s fails the bake and names the path", async (_, script, path, form) => {
    recipe(script);
    const run = await kitchen.cli(["bake", "--json"], { env });
    const error = errorOf(run);
    expect(error).toMatchObject({ code: "SECRET_LEAKED", message: expect.stringContaining(path) });
    expect(error.message).toMatch(new RegExp(form, "i"));
    expect(run.code).toBe(4);
    expect(run.stderr).not.toContain(SECRET);
    expect(holding(SECRET)).toEqual([]);
    expect(await kitchen.leftovers()).toEqual([]);
  });

  it("in the error of a script that fails is masked", async () => {
    recipe('echo "login with $(cat /run/secrets/token) failed" >&2; exit 5');
    const run = await kitchen.cli(["bake", "--json"], { env });
    expect(errorOf(run).message).toMatch(/login with \S+ failed/);
    expect(run.stderr + run.stdout).not.toContain(SECRET);
    expect(holding(SECRET)).toEqual([]);
  });

  it("of a step is not there for another", async () => {
    recipe("test -s /run/secrets/token");
    kitchen.steps(
      `- name: private\n  secrets: [token, key]\n  run: test -s /run/secrets/token\n- name: other\n  run: "! ls /run/secrets"`,
      TOP,
    );
    expect((await kitchen.bake([], { env })).baked).toBe(2);
  });
});

/** Looks again and again at the command lines of every process, and at the environments of those in the sandbox. */
function watchProcesses(root: number): { stop(): Promise<{ readonly watched: number; readonly found: readonly string[] }> } {
  const watched = new Set<string>();
  const found = new Set<string>();
  let over = false;
  const look = (): void => {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) >= root)) {
      const words = read(`/proc/${pid}/cmdline`);
      watched.add(`${pid} ${words}`);
      if (words.includes(SECRET) || (words.includes("/run/bakehouse") && read(`/proc/${pid}/environ`).includes(SECRET)))
        found.add(words.replaceAll("\0", " "));
    }
  };
  const watching = (async () => {
    while (!over) {
      look();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  return {
    stop: async () => {
      over = true;
      await watching;
      return { watched: watched.size, found: [...found] };
    },
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

it("keeps a look at a failed step free of what its secrets were", async () => {
  recipe("cp /run/secrets/token /srv/copy; exit 1");
  await kitchen.cli(["bake", "--keep-on-failure"], { env });
  writeFileSync(join(outside, "kept"), holding(SECRET).join("\n"));
  // a state that is kept on purpose holds what the script left; no record, log or blob does
  expect(holding(SECRET).filter((file) => !file.includes("/work/"))).toEqual([]);
});
