import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { builtCli } from "../../../test/shared-store.ts";

let cli: string;
let folder: string;
beforeAll(async () => {
  cli = await builtCli();
  folder = mkdtempSync(join(tmpdir(), "bakehouse-key-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bakehouse = (...words: readonly string[]): { readonly status: number | null; readonly out: string; readonly err: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, "--store", join(folder, "store"), ...words], {
    cwd: folder,
    encoding: "utf8",
  });
  return { status, out: stdout, err: stderr };
};
const keys = (): readonly { readonly id: string; readonly name: string; readonly signs: boolean; readonly retiredAt?: string }[] =>
  (JSON.parse(bakehouse("key", "list", "--json").out) as { readonly keys: ReturnType<typeof keys> }).keys;

describe("bakehouse key", () => {
  it("makes, lists, rotates, exports, imports and retires", () => {
    expect(bakehouse("key", "list").out).toContain("No keys yet");
    expect(bakehouse("key", "make", "--name", "first").out).toMatch(/^first [0-9a-f]{12} signs from now on/);
    expect(bakehouse("key", "make")).toMatchObject({ status: 2, err: expect.stringContaining("key rotate") });
    bakehouse("key", "rotate", "--name", "second");
    expect(keys().map(({ name, signs }) => [name, signs])).toEqual([
      ["second", true],
      ["first", false],
    ]);
    expect(bakehouse("key", "export", "first", "-o", "first.pub.pem")).toMatchObject({ status: 0 });
    expect(readFileSync(join(folder, "first.pub.pem"), "utf8")).toMatch(/^-----BEGIN PUBLIC KEY-----/);
    expect(bakehouse("key", "export").out).toMatch(/^-----BEGIN PUBLIC KEY-----/);
    expect(bakehouse("key", "retire", "first").out).toContain("retired");
    expect(bakehouse("key", "import", "first.pub.pem")).toMatchObject({ status: 2, err: expect.stringContaining("retired") });
    execFileSync("openssl", ["genpkey", "-algorithm", "ed25519", "-out", join(folder, "mine.pem")]);
    expect(bakehouse("key", "import", "mine.pem", "--sign").out).toMatch(/^mine [0-9a-f]{12} signs/);
    expect(bakehouse("key", "list").out).toMatch(/mine .*here .*signs/);
  });

  it.each([
    [["key", "retire", "nobody"], "No key is called"],
    [["key", "retire", "secnd"], "did you mean second"],
    [["key", "import", "nothing.pem"], "Cannot read nothing.pem"],
    [["key", "import", "text.pem"], "no ed25519 key"],
  ] as const)("%j says what is wrong", (words, message) => {
    writeFileSync(join(folder, "text.pem"), "just text");
    expect(bakehouse(...words)).toMatchObject({ status: 2, err: expect.stringContaining(message) });
  });
});
