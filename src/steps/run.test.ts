import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeBase, refusals, sandboxImage } from "../../test/steps/step-image.ts";
import type { Base, StepImage } from "../../test/steps/step-image.ts";
import { run } from "./run.ts";

describe("options", () => {
  test.each([
    "true",
    { script: "true" },
    { file: "a.sh", shell: "bash", arguments: ["a", 1] },
    { script: "x", shell: ["python3", "-I"], user: 33, environment: { A: 1, B_2: true } },
  ])("%j is fine", (options) => expect(refusals(run, options)).toEqual([]));
  test.each([
    ["  \n", ": is an empty script"],
    ["a\0b", ": a script has no NUL in it"],
    [{}, ": needs either script or file; none is there"],
    [{ script: "a", file: "b" }, ": needs either script or file; both are there"],
    [{ file: "../b" }, 'file: "../b" leads out of the recipe\'s folder: copy what is needed into it'],
    [{ script: "a", environment: { "1A": "x" } }, "environment.1A: Invalid key in record"],
    [{ script: "a", user: "No Body" }, 'user: "No Body" is no user: write "app", "app:www-data" or "1000:1000"'],
    [{ script: "a", workingDirectory: "srv" }, 'workingDirectory: "srv" is not absolute: a path inside the image starts with /'],
  ])("%j is refused", (options, message) => expect(refusals(run, options)).toContain(message));
});

describe("in the sandbox", () => {
  let base: Base;
  let image: StepImage;
  beforeAll(async () => {
    base = makeBase();
    image = await sandboxImage(base);
  });
  afterAll(async () => {
    await (image as StepImage | undefined)?.dispose();
    base.dispose();
  });
  const output = async (options: unknown, extra = {}): Promise<readonly string[]> => {
    image.lines.length = 0;
    await image.run(run, options, extra);
    return [...image.lines];
  };
  const failure = (options: unknown, extra = {}) =>
    image.run(run, options, extra).then(
      () => undefined,
      (cause: unknown) => cause,
    );

  test("a shorthand changes the image and leaves nothing of its own", async () => {
    await image.run(run, "mkdir /made && echo x > /made/file");
    expect(image.tree("/made")).toEqual({ "/made/file": 'file 0644 0:0 "x\\n"' });
    expect(image.root.list("/run")).toEqual([]);
  });

  test("arguments, environment and directory", async () => {
    image.root.makeDirectory("/srv/app");
    expect(
      await output({
        script: 'echo "$1|$2|$GREETING|$(pwd)|$HOME|$LC_ALL|$SOURCE_DATE_EPOCH"',
        arguments: ["a b", 2],
        environment: { GREETING: 'it\'s "me"' },
        workingDirectory: "/srv/app",
      }),
    ).toEqual(['a b|2|it\'s "me"|/srv/app|/root|C.UTF-8|1700000000']);
    expect(await failure({ script: "true", workingDirectory: "/nowhere" })).toMatchObject({
      code: "STEP_FAILED",
      message: "base/step: workingDirectory /nowhere is no directory in the image",
    });
  });

  test("a file of the recipe, run as its first line says", async () => {
    image.put("a.sh", "#!/bin/bash\nfalse\necho ${BASH_VERSION:+bash} $1\n");
    image.put("b.sh", "echo ${BASH_VERSION:-no} bash; false; echo never");
    expect(await output({ file: "a.sh", arguments: ["x"] })).toEqual(["bash x"]);
    expect(await failure({ file: "b.sh" })).toMatchObject({ message: "base/step: b.sh ended with exit code 1\n  | no bash" });
    expect(await failure({ file: "a.sh", shell: "bash" })).toMatchObject({
      message: expect.stringContaining("a.sh, line 2 (false) ended with exit code 1"),
    });
  });

  test("any interpreter", async () => {
    expect(await output({ script: "hello", shell: ["/usr/bin/cat", "--show-ends"] })).toEqual(["hello"]);
    expect(await output({ script: "hello\n", shell: ["cat", "-E"] })).toEqual(["hello$"]);
  });

  test("as another user, with its groups and home", async () => {
    expect(await output({ script: 'id -u; id -g; id -G; echo "$HOME $USER"; cat "$0" | cat > /dev/null', user: "app" })).toEqual([
      "1001",
      "1002",
      "1002 4 1500",
      "/srv/app app",
    ]);
    expect(await output({ script: "id -u; id -g", user: "app:www-data" })).toEqual(["1001", "33"]);
    expect(await output({ script: "id -u; id -G", user: 4242 })).toEqual(["4242", "4242"]);
    expect(await failure({ script: "true", user: "nope" })).toMatchObject({ message: 'base/step: the image has no user "nope"' });
    expect(await failure({ script: "echo x > /etc/passwd", user: "app" })).toMatchObject({ code: "STEP_FAILED" });
  });

  test("secrets are files in memory", async () => {
    const secrets = { licence: "s3cret\nline" };
    expect(await output("cat /run/secrets/licence; echo; ls -l /run/secrets/licence", { secrets })).toEqual([
      "s3cret",
      "line",
      expect.stringMatching(/^-r-------- .* root +root/),
    ]);
    expect(await output({ script: "cat /run/secrets/licence", user: "app" }, { secrets })).toEqual(["s3cret", "line"]);
    expect(await failure("cat /run/secrets/licence 2>/dev/null")).toMatchObject({ code: "STEP_FAILED" });
  });

  describe("a failure", () => {
    test.each([
      ["bash", "echo one\nf() {\n  false\n}\nf\n", "script, line 3 (false) ended with exit code 1"],
      ["bash", "true | (exit 3) | true\necho never\n", "script, line 1 (true | (exit 3) | true) ended with exit code 3"],
      ["bash", "echo a\necho $nope\n", "script, line 2 (echo $nope) ended with exit code 1"],
      ["bash", "x=$(false)\n", "script, line 1 (x=$(false)) ended with exit code 1"],
      ["bash", "cat <<EOF\nx\nEOF\ncat /none <<EOF\nline: exit code 5\nEOF\n", "script, line 4 (cat /none <<EOF) ended with exit code 1"],
      ["bash", "if true; then\n", "script, line 2 ended with exit code 2"],
      ["sh", "echo a\necho $nope\n", "script, line 2 (echo $nope) ended with exit code 2"],
      ["sh", "echo a\nnope-program\n", "script, line 2 (nope-program) ended with exit code 127 (command not found)"],
      ["sh", "exit 7", "script ended with exit code 7"],
      ["sh", "kill -9 $$", "script ended with exit code 137 (signal 9)"],
    ])("of %s names the line: %j", async (shell, script, message) => {
      const cause = await failure({ script, shell });
      expect(cause).toMatchObject({ code: "STEP_FAILED" });
      expect((cause as Error).message.split("\n")[0]).toBe(`base/step: ${message}`);
    });

    test("shows the last lines and keeps more for programs", async () => {
      const cause = await failure("i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; exit 1");
      expect(cause).toMatchObject({
        message: expect.stringMatching(/\| line 88\n.*\| line 99$/s),
        help: { details: { step: "base/step", exitCode: 1 }, hint: expect.stringContaining("--keep-on-failure") },
      });
    });

    test("by time", async () => {
      const other = await sandboxImage(base);
      try {
        await expect(other.run(run, "sleep 60", { timeoutMs: 300 })).rejects.toMatchObject({ code: "STEP_TIMEOUT" });
      } finally {
        await other.dispose();
      }
    });
  });
});
