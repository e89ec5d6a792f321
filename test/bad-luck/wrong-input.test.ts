import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type CliRun, errorOf, Kitchen } from "./kitchen.ts";

let kitchen: Kitchen;
let outside: string;
beforeAll(async () => {
  kitchen = await Kitchen.open();
  outside = join(kitchen.folder, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "secret"), "of the host");
});
afterAll(() => kitchen.close());
beforeEach(() => {
  kitchen.write("app/file", "content");
  kitchen.steps("- copy: { from: app, to: /srv/app }");
});
afterEach(async () => {
  rmSync(join(kitchen.recipe, "app"), { recursive: true, force: true });
  rmSync(join(kitchen.recipe, "bakehouse.lock"), { force: true });
  expect(await kitchen.leftovers()).toEqual([]);
});

interface Told {
  readonly exit: number;
  readonly code: string;
  readonly message: RegExp;
  readonly hint?: RegExp;
}

/** People get code, message and hint and no stack; programs get the same as JSON. */
async function expectTold(args: readonly string[], told: Told): Promise<void> {
  const plain = await kitchen.cli(args);
  expect(plain.stderr).not.toMatch(/^ +at .*:\d+:\d+|FAULT/m);
  expect(plain.stderr).toContain(`error ${told.code} `);
  expect(plain.stdout).toBe("");
  expect(plain.code).toBe(told.exit);
  const error = errorOf(await kitchen.cli([...args, "--json"]));
  expect(error.code).toBe(told.code);
  expect(error.message).toMatch(told.message);
  if (told.hint !== undefined) expect(error.hint ?? error.message).toMatch(told.hint);
}

describe("a command line that is wrong", () => {
  it.each<[string, readonly string[], Told]>([
    ["an unknown command", ["bkae"], { exit: 2, code: "USAGE", message: /Unknown command 'bkae'/, hint: /bake/ }],
    ["an unknown option", ["bake", "--no-cahce"], { exit: 2, code: "USAGE", message: /--no-cahce/, hint: /--no-cache|bake --help/ }],
    ["an unknown layer", ["bake", "--layer", "ap"], { exit: 2, code: "USAGE", message: /no layer "ap"/, hint: /app/ }],
    ["an unknown step", ["bake", "--from", "app/cpoy"], { exit: 2, code: "USAGE", message: /no step "app\/cpoy"/, hint: /app\/copy/ }],
    ["an unknown parameter", ["bake", "--set", "colour=red"], { exit: 2, code: "RECIPE_INVALID", message: /colour/ }],
    ["half a parameter", ["bake", "--set", "colour"], { exit: 2, code: "USAGE", message: /name=value, not "colour"/ }],
    ["an unknown runner", ["bake", "--runner", "docker"], { exit: 2, code: "USAGE", message: /docker/, hint: /./ }],
    ["a count that is none", ["bake", "--parallel", "many"], { exit: 2, code: "USAGE", message: /many/ }],
    ["a recipe that is not there", ["bake", "nowhere"], { exit: 2, code: "RECIPE_NOT_FOUND", message: /nowhere/, hint: /bakehouse init/ }],
    [
      "a folder without a recipe",
      ["bake", "app"],
      { exit: 2, code: "RECIPE_NOT_FOUND", message: /app\/bakehouse\.yaml/, hint: /bakehouse init/ },
    ],
    ["an image that is not there", ["image", "show", "nothing/here"], { exit: 2, code: "IMAGE_NOT_FOUND", message: /nothing\/here/ }],
    ["a bake that is not there", ["logs", "20000101-000000-abcdef"], { exit: 2, code: "BAKE_NOT_FOUND", message: /20000101/ }],
    ["a store that is a file", ["bake", "--store", "app/file"], { exit: 1, code: "STORE_DAMAGED", message: /app\/file/ }],
    [
      "a store below a file",
      ["bake", "--store", "app/file/x"],
      { exit: 1, code: "STORE_DAMAGED", message: /app\/file\/x cannot be a folder/ },
    ],
    [
      "images of a store that is a file",
      ["images", "--store", "app/file"],
      { exit: 2, code: "IMAGE_NOT_FOUND", message: /app\/file is no store/ },
    ],
    ["images of a folder that is no store", ["images", "--store", "app"], { exit: 2, code: "IMAGE_NOT_FOUND", message: /app is no store/ }],
  ])("%s", async (_, args, told) => {
    await expectTold(args, told);
  });
});

describe("a recipe that is wrong", () => {
  it.each<[string, string | Uint8Array, RegExp]>([
    ["empty", "", /recipe is empty/],
    ["not YAML", "name: [", /bakehouse\.yaml:1:/],
    ["binary garbage", Uint8Array.from({ length: 5000 }, (_, index) => (index * 7919) % 256), /bakehouse\.yaml/],
    ["nothing but NULs", new Uint8Array(5000), /bakehouse\.yaml/],
    ["a list", "- a\n- b\n", /a recipe is a mapping/],
    ["with tabs", "name: tiny\nlayers:\n\tos:\n", /bakehouse\.yaml:3/],
    [
      "an alias bomb",
      `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefghij"
        .split("")
        .map((name, index) => `${name}: &${name} [${Array(9).fill(`*${"abcdefghi"[index]}`).join(",")}]`)
        .join("\n")}\nname: tiny\n`,
      /bakehouse\.yaml/,
    ],
    ["nested a hundred thousand deep", `name: ${"[".repeat(100_000)}`, /bakehouse\.yaml/],
    ["with unknown keys", "nam: tiny\nlayers: { os: { step: [] } }\n", /did you mean "?name"?[\s\S]*did you mean "?steps"?/],
    ["with a merge conflict", "name: tiny\n<<<<<<< HEAD\nlayers: {}\n=======\nlayers: {}\n>>>>>>> other\n", /bakehouse\.yaml:2/],
    [
      "five megabytes of text",
      `name: tiny\nlayers:\n  os: { steps: [ rootfs: root.tar ] }\n${"x".repeat(5_000_000)}\n`,
      /at most 1 MiB \(1048576 bytes\), this has 5\d+ bytes/,
    ],
    ["five megabytes of steps", `name: tiny\nlayers:\n  os:\n    steps:\n${"      - runn: echo\n".repeat(280_000)}`, /at most 1 MiB/],
  ])("%s is refused with places, in reasonable time", async (_, text, message) => {
    kitchen.write("bakehouse.yaml", text);
    const run = await kitchen.cli(["bake"]);
    expect(run.stderr).not.toMatch(/^ +at .*:\d+:\d+|FAULT/m);
    expect(run.stderr).toMatch(/^error RECIPE_INVALID /);
    expect(run.stderr).toMatch(message);
    expect(run.code).toBe(2);
    expect(run.stderr.length).toBeLessThan(100_000);
  });

  it("of a megabyte that is right is baked", async () => {
    kitchen.steps(`- file: { path: /srv/large, content: "${"x".repeat(1_000_000)}" }`);
    expect((await kitchen.bake()).baked).toBe(1);
  });
});

describe("a recipe or lock that is no file", () => {
  const told = async (args: readonly string[], code: string, message: RegExp): Promise<void> =>
    expectTold(args, { exit: 2, code, message });

  it("but a pipe, device, folder or endless is told, and not waited for", async () => {
    execFileSync("mkfifo", [join(kitchen.recipe, "pipe.yaml")]);
    await told(["plan", "pipe.yaml"], "RECIPE_INVALID", /pipe\.yaml is a device or pipe/);
    await told(["plan", "/dev/zero"], "RECIPE_INVALID", /\/dev\/zero is a device or pipe/);
    execFileSync("truncate", ["--size=300M", join(kitchen.recipe, "huge.yaml")]);
    await told(["plan", "huge.yaml"], "RECIPE_INVALID", /huge\.yaml has 314572800 bytes/);
    execFileSync("mkfifo", [join(kitchen.recipe, "bakehouse.lock")]);
    await told(["bake"], "LOCK_INVALID", /bakehouse\.lock is a device or pipe/);
    rmSync(join(kitchen.recipe, "bakehouse.lock"));
    mkdirSync(join(kitchen.recipe, "bakehouse.lock"));
    await told(["bake"], "LOCK_INVALID", /bakehouse\.lock is a folder/);
    for (const name of ["bakehouse.lock", "pipe.yaml", "huge.yaml"]) rmSync(join(kitchen.recipe, name), { recursive: true });
  });
});

describe("a lock that is wrong", () => {
  it.each([
    ["with a merge conflict", '<<<<<<< HEAD\n{ "version": 1 }\n=======\n{ "version": 2 }\n>>>>>>> other\n', /merge|conflict/i],
    ["cut off", '{ "version": 1, "steps": {', /bakehouse\.lock/],
    ["binary", "\0\u0001\u0002", /bakehouse\.lock/],
    ["empty", "", /bakehouse\.lock/],
    ["of another shape", "[]", /bakehouse\.lock/],
  ])("%s", async (_, text, message) => {
    kitchen.write("bakehouse.lock", text);
    const run = await kitchen.cli(["bake", "--json"]);
    expect(errorOf(run)).toMatchObject({
      code: "LOCK_INVALID",
      message: expect.stringMatching(message),
      hint: expect.stringContaining("bakehouse lock"),
    });
    expect(run.stderr).not.toMatch(/^ +at .*:\d+:\d+|FAULT/m);
    expect(run.code).toBe(2);
    expect(errorOf(await kitchen.cli(["lock", "--json"])).code).toBe("LOCK_INVALID"); // it would move versions silently
    expect(errorOf(run).hint).toMatch(/bakehouse lock --update|take one side/);
    expect(await kitchen.cli(["lock", "--update"])).toMatchObject({ code: 0 }); // as the hint says
    expect(await kitchen.cli(["bake"])).toMatchObject({ code: 0 });
  });
});

describe("files that lead out of the recipe's folder", () => {
  const refused = async (steps: string, message: RegExp, code = "INPUT_INVALID"): Promise<CliRun> => {
    kitchen.steps(steps);
    const run = await kitchen.cli(["bake", "--json"]);
    expect(errorOf(run)).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(run.stderr).not.toMatch(/^ +at .*:\d+:\d+|FAULT/m);
    return run;
  };

  it("by .. or from the root are refused in the recipe, with their place", async () => {
    await refused("- copy: { from: ../outside, to: /srv }", /bakehouse\.yaml:\d+:\d+.*leads out of the recipe's folder/, "RECIPE_INVALID");
    await refused(
      `- copy: { from: ${outside}, to: /srv }`,
      /is absolute: name a file or folder by its path from the recipe's folder/,
      "RECIPE_INVALID",
    );
  });

  it("by a symbolic link are refused, wherever it is", async () => {
    symlinkSync(outside, join(kitchen.recipe, "app/link"));
    await refused("- copy: { from: app/link, to: /srv }", /app\/link.*out/s);
    await refused("- copy: { from: app/link/secret, to: /srv }", /app\/link/);
    rmSync(join(kitchen.recipe, "app/link"));
    mkdirSync(join(kitchen.recipe, "app/deep"));
    symlinkSync("../../../outside/secret", join(kitchen.recipe, "app/deep/link"));
    await refused("- copy: { from: app, to: /srv }", /app\/deep\/link/);
    await refused("- run: { file: app/deep/link }", /app\/deep\/link/);
    await refused("- file: { path: /srv/x, from: app/deep/link }", /app\/deep\/link/);
  });

  it("that are missing, devices or pipes are named, all at once", async () => {
    execFileSync("mkfifo", [join(kitchen.recipe, "app/pipe")]);
    execFileSync("mknod", [join(kitchen.recipe, "app/null"), "c", "1", "3"]);
    await refused("- copy: { from: app, to: /srv }", /app\/null[\s\S]*app\/pipe/);
    await refused("- copy: { from: appp, to: /srv }", /appp/);
    const steps = "- ansible: site.yml\n- run: { file: app }\n- file: { path: /etc/a, from: none }\n- copy: { from: app/file, to: /srv/ }";
    const run = await refused(
      steps,
      /:\d+:\d+: app\/ansible: site\.yml: there is no such file.*\n.*:\d+:\d+: app\/run: app: it is a folder, where a file is needed.*\n.*:\d+:\d+: app\/file: none: /,
    );
    expect(run.stderr).not.toContain("app/copy");
    for (const command of ["plan", "lock"]) expect(errorOf(await kitchen.cli([command, "--json"]))).toEqual(errorOf(run));
  });

  it("in a tarball are refused before anything is unpacked", async () => {
    execFileSync(
      "sh",
      [
        "-ec",
        "mkdir -p tree/usr; echo evil > tree/evil; ln -s / tree/usr/root; tar -C tree -cPf app/dots.tar --transform 's,^evil,../../evil,' usr evil; tar -C tree -cPf app/absolute.tar --transform 's,^evil,/srv/evil,' usr evil; mknod tree/disk b 8 0; tar -C tree -cf app/device.tar usr disk",
      ],
      { cwd: kitchen.recipe },
    );
    for (const [tar, message] of [
      ["dots", /\.\.\/\.\.\/evil/],
      ["absolute", /\/srv\/evil/],
      ["device", /disk/],
    ] as const) {
      kitchen.write("bakehouse.yaml", `name: tiny\nlayers:\n  os:\n    steps:\n      - rootfs: app/${tar}.tar\n`);
      const run = await kitchen.cli(["bake", "--json"]);
      expect([tar, errorOf(run)]).toMatchObject([tar, { code: "ARCHIVE_UNSAFE", message: expect.stringMatching(message) }]);
      expect(run.code).toBe(4);
    }
    rmSync(join(kitchen.recipe, "tree"), { recursive: true });
  });

  it("that a step's links would make ours are left alone when its result is tidied or made a volume", async () => {
    mkdirSync(join(outside, "dbus"), { recursive: true });
    writeFileSync(join(outside, "dbus/machine-id"), "of the host");
    kitchen.steps(
      `- run: rm -rf /var/lib /etc/ssh && mkdir -p /etc && ln -s ${outside} /var/lib && ln -s ${outside} /var/log && ln -s ${outside} /etc/ssh`,
    );
    await kitchen.bake();
    expect(readdirSync(outside).sort()).toEqual(["dbus", "secret"]);
    expect(readFileSync(join(outside, "dbus/machine-id"), "utf8")).toBe("of the host");
    kitchen.layers(`app:\n  from: os\n  release: { volume: /srv/app }\n  steps:\n    - run: ln -s ${outside} /srv/app`);
    expect(errorOf(await kitchen.cli(["bake", "--json"]))).toMatchObject({
      code: "STEP_FAILED",
      message: expect.stringContaining("/srv/app (which is no directory)"),
    });
  });

  it("in a link of the image stay in the image", async () => {
    const name = `bakehouse-escape-${process.pid}`;
    kitchen.steps(
      `- run: ln -s / /srv/root; ln -s ../../../../../../../../tmp /srv/up; ln -s /proc/1/root/tmp /srv/proc\n- copy: { from: app, to: /srv/root/srv/copied }\n- copy: { from: app, to: /srv/up/${name} }\n- file: { path: /srv/root/etc/${name}, content: x }`,
    );
    await kitchen.bake();
    expect(execFileSync("sh", ["-c", `ls -d /tmp/${name} /etc/${name} /srv/copied 2>/dev/null || true`], { encoding: "utf8" })).toBe("");
  });
});
