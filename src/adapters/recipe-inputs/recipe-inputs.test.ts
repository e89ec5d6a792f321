import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import fc from "fast-check";
import { BakehouseError } from "../../core/errors.ts";
import type { FileRequest } from "../../core/step.ts";
import { hashInputs } from "./hash-inputs.ts";
import { recipeInputs } from "./recipe-inputs.ts";
import { openStatCache } from "./stat-cache.ts";

let top: string;
let folder: string;
let cacheFile: string;

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "bakehouse-inputs-"));
  folder = join(top, "recipe");
  cacheFile = join(top, "cache/stat.json");
  mkdirSync(folder);
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

function put(path: string, content = path): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}
const hash = (...requests: FileRequest[]) => hashInputs(folder, requests, openStatCache(cacheFile));
const refusal = (act: () => unknown): string => {
  try {
    act();
  } catch (cause) {
    if (cause instanceof BakehouseError && cause.code === "INPUT_INVALID") return cause.message;
    throw cause;
  }
  throw new Error("it was not refused");
};

describe("a tree", () => {
  test("is listed sorted, parents first, with the executable bit and links", () => {
    put("app/b/two");
    chmodSync(put("app/a.sh"), 0o700);
    mkdirSync(join(folder, "app/empty"));
    symlinkSync("b/two", join(folder, "app/link"));
    const entries = recipeInputs(folder, [{ path: "app" }]).tree("app/");
    expect(entries.map(({ path, kind, executable }) => [path, kind, executable])).toEqual([
      ["a.sh", "file", true],
      ["b", "directory", true],
      ["b/two", "file", false],
      ["empty", "directory", true],
      ["link", "symlink", true],
    ]);
    expect(entries[4]?.linkTarget).toBe("b/two");
    expect(readFileSync(entries[2]?.hostPath ?? "", "utf8")).toBe("app/b/two");
  });

  test("leaves out excludes, the ignore file's lines, .git and the lock", () => {
    for (const path of ["app/a.log", "app/a.txt", "app/.git/HEAD", "app/node_modules/x", "bakehouse.lock", "secret.key"]) put(path);
    put(".bakehouseignore", "# not for the image\nnode_modules/\n/secret.key\n");
    const paths = recipeInputs(folder, [{ path: ".", excludes: ["*.log"] }])
      .tree(".")
      .map((entry) => entry.path);
    expect(paths).toEqual(["app", "app/a.txt"]);
  });

  test("what is named itself is taken even if it would be ignored", () => {
    put("dist/main.js");
    put(".bakehouseignore", "dist/\n");
    expect(
      recipeInputs(folder, [{ path: "dist" }])
        .tree("dist")
        .map((entry) => entry.path),
    ).toEqual(["main.js"]);
  });

  test("a part of it, and further excludes", () => {
    put("app/sub/a.txt");
    put("app/sub/b.md");
    put("app/sub/c.log");
    const inputs = recipeInputs(folder, [{ path: "app", excludes: ["*.log"] }]);
    expect(inputs.tree("app/sub", ["*.md"]).map((entry) => entry.path)).toEqual(["a.txt"]);
    expect(inputs.readText("app/sub/a.txt")).toBe("app/sub/a.txt");
    expect(() => inputs.tree("other")).toThrow("requires() does not name");
    expect(() => inputs.read("application")).toThrow("requires() does not name");
  });

  test("a single file, also behind a link that stays inside", () => {
    put("real.txt", "hello");
    symlinkSync("real.txt", join(folder, "link.txt"));
    const entries = recipeInputs(folder, [{ path: "link.txt" }]).tree("link.txt");
    expect(entries).toMatchObject([{ path: "", kind: "file", sizeBytes: 5 }]);
  });
});

describe("what is refused", () => {
  test("a folder where a file is needed is named, with a file of it", () => {
    put("scripts/setup.sh");
    expect(refusal(() => hash({ path: "scripts", kind: "file" }))).toContain(
      "scripts: it is a folder, where a file is needed (name a file in it: scripts/setup.sh)",
    );
    expect(hash({ path: "scripts/setup.sh", kind: "file" }).entries).toHaveLength(1);
  });

  test("everything wrong is told at once", () => {
    put("app/fine");
    put("config.yaml");
    put("outside-target");
    writeFileSync(join(top, "secret"), "x");
    symlinkSync("../../secret", join(folder, "app/up"));
    symlinkSync("/etc/passwd", join(folder, "app/absolute"));
    symlinkSync("../outside-target", join(folder, "app/beside"));
    execFileSync("mkfifo", [join(folder, "app/pipe")]);
    symlinkSync(top, join(folder, "leads-out"));
    put(".bakehouseignore", "fine\n../x\n");
    const message = refusal(() =>
      hash(
        { path: "app" },
        { path: "../secret" },
        { path: "/etc/passwd" },
        { path: "config.yml" },
        { path: "leads-out/secret" },
        { path: "a\0b" },
        { path: "config.yaml", excludes: ["[z-a]"] },
      ),
    );
    expect(message.split("\n").sort()).toEqual(
      [
        '.bakehouseignore:2:1: "../x" has "..": a pattern stays below its folder',
        "app/up: it is a symbolic link to ../../secret, outside of app (leave it out with excludes and make the link in the image with the `file` step (link: …))",
        "app/absolute: it is a symbolic link to /etc/passwd, an absolute path, which means something else here than in the image (leave it out with excludes and make the link in the image with the `file` step (link: …))",
        "app/beside: it is a symbolic link to ../outside-target, outside of app (leave it out with excludes and make the link in the image with the `file` step (link: …))",
        "app/pipe: it is a device, fifo or socket; only files, folders and symbolic links can be put into an image (leave it out with excludes)",
        "../secret: it lies outside of the recipe's folder (copy it into the recipe's folder, beside bakehouse.yaml)",
        "/etc/passwd: an absolute path is not part of the recipe's folder (copy it into the recipe's folder, beside bakehouse.yaml)",
        "config.yml: there is no such file in the recipe's folder (did you mean config.yaml?)",
        `leads-out/secret: it leads to ${join(top, "secret")}, outside of the recipe's folder (copy it into the recipe's folder, beside bakehouse.yaml)`,
        '"a\\u0000b": is not a path',
        'config.yaml: excludes: "[z-a]" is not a glob: a range in [ ] is the wrong way round',
      ].sort(),
    );
  });

  test("a link whose text stays inside and whose way does not", () => {
    put("app/s/file");
    symlinkSync("..", join(folder, "app/s/d"));
    symlinkSync("s/d/../x", join(folder, "app/sly"));
    expect(refusal(() => hash({ path: "app" }))).toContain("app/sly");
  });

  test("links in a circle, by name and in a tree", () => {
    symlinkSync("b", join(folder, "a"));
    symlinkSync("a", join(folder, "b"));
    expect(refusal(() => hash({ path: "a" }))).toContain("circle");
    expect(refusal(() => hash({ path: "." }))).toContain("circle");
  });

  test("a name that is not UTF-8", () => {
    put("app/fine");
    writeFileSync(Buffer.concat([Buffer.from(join(folder, "app/")), Buffer.from([0xff, 0x41])]), "x");
    expect(refusal(() => hash({ path: "app" }))).toContain("not UTF-8");
    expect(hash({ path: "app", excludes: ["*A"] }).entries).toHaveLength(1);
  });
});

describe("the digest", () => {
  test("does not depend on times, umask, owner, order or place", () => {
    put("app/a", "1");
    put("app/b/c", "2");
    const before = hash({ path: "app" }).digest;
    rmSync(join(folder, "app"), { recursive: true });
    const umask = process.umask(0o077);
    put("app/b/c", "2");
    put("app/a", "1");
    process.umask(umask);
    utimesSync(join(folder, "app/a"), 1, 1);
    expect(hash({ path: "./app/" }).digest).toBe(before);
    execFileSync("cp", ["-r", folder, join(top, "elsewhere")]);
    expect(hashInputs(join(top, "elsewhere"), [{ path: "app" }], openStatCache(cacheFile)).digest).toBe(before);
  });

  test("changes with content, name, kind, executable bit, link target and empty directories", () => {
    const file = put("app/a", "1");
    symlinkSync("a", join(folder, "app/link"));
    const changes: (() => void)[] = [
      () => writeFileSync(file, "2"),
      () => chmodSync(file, 0o755),
      () => put("app/b", "1"),
      () => mkdirSync(join(folder, "app/empty")),
      () => {
        rmSync(join(folder, "app/link"));
        symlinkSync("b", join(folder, "app/link"));
      },
    ];
    const digests = [hash({ path: "app" }).digest];
    for (const change of changes) {
      change();
      digests.push(hash({ path: "app" }).digest);
    }
    expect(new Set(digests).size).toBe(changes.length + 1);
  });

  test("names every entry below the recipe's folder, once", () => {
    put("app/a", "1");
    expect(hash({ path: "app" }, { path: "app/a" }).entries).toEqual([
      { path: "app/a", kind: "file", executable: false, sha256: "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b" },
    ]);
  });

  test("equal trees are equal, different ones differ", () => {
    const tree = fc.dictionary(fc.stringMatching(/^[a-c]{1,2}$/), fc.string({ maxLength: 3 }), { noNullPrototype: true });
    const digestOf = (files: Record<string, string>): string => {
      rmSync(join(folder, "t"), { recursive: true, force: true });
      mkdirSync(join(folder, "t"));
      for (const [name, content] of Object.entries(files)) put(`t/${name}`, content);
      return hash({ path: "t" }).digest;
    };
    const key = (files: Record<string, string>): string => JSON.stringify(Object.entries(files).sort());
    fc.assert(
      fc.property(tree, tree, (one, other) => {
        expect(digestOf(one) === digestOf(other)).toBe(key(one) === key(other));
      }),
      { numRuns: 60 },
    );
  });
});

describe("the stat cache", () => {
  /** Writes rows as if the files had been hashed long after they were written. */
  const age = (): void => {
    const content = JSON.parse(readFileSync(cacheFile, "utf8")) as { files: Record<string, unknown[]> };
    for (const row of Object.values(content.files)) row[4] = Date.now() + 60_000;
    writeFileSync(cacheFile, JSON.stringify(content));
  };
  const learn = (): void => {
    const cache = openStatCache(cacheFile);
    hashInputs(folder, [{ path: "app" }], cache);
    cache.save();
  };
  /** Puts a recognisable digest in, so that a test sees whether the cache was believed. */
  const plant = (): void => writeFileSync(cacheFile, readFileSync(cacheFile, "utf8").replaceAll(/"[0-9a-f]{64}"/g, `"${"0".repeat(64)}"`));
  const shaOf = (): string | undefined => {
    const entry = hash({ path: "app" }).entries[0];
    return entry?.kind === "file" ? entry.sha256 : undefined;
  };
  const planted = `sha256:${"0".repeat(64)}`;

  test("is believed when the file is unchanged and was old when it was hashed", () => {
    put("app/a");
    learn();
    age();
    plant();
    expect(shaOf()).toBe(planted);
  });

  test("is not believed for a file that was changed just before it was hashed", () => {
    put("app/a");
    learn();
    plant();
    expect(shaOf()).not.toBe(planted);
  });

  test("sees an edit of equal length with the old time put back", () => {
    const file = put("app/a", "one");
    learn();
    age();
    plant();
    const { atime, mtime } = statSync(file);
    writeFileSync(file, "two");
    utimesSync(file, atime, mtime);
    expect(shaOf()).not.toBe(planted);
  });

  test("sees another file moved to the same place", () => {
    put("app/a", "one");
    learn();
    age();
    plant();
    rmSync(join(folder, "app/a"));
    put("app/a", "one");
    expect(shaOf()).not.toBe(planted);
  });

  test.each(["", "{", "[]", '{"version":3,"files":{}}', '{"version":2,"files":{"x":[1]}}', '{"version":2,"files":null}'])(
    "a damaged file (%s) is as good as none",
    (content) => {
      put("app/a");
      mkdirSync(dirname(cacheFile));
      writeFileSync(cacheFile, content);
      learn();
      expect(JSON.parse(readFileSync(cacheFile, "utf8"))).toMatchObject({ version: 2 });
    },
  );

  test("is not written when nothing was learned, and costs nothing where it cannot be", () => {
    put("app/a");
    learn();
    age();
    const before = lstatSync(cacheFile).ino;
    learn();
    expect(lstatSync(cacheFile).ino).toBe(before);
    const cache = openStatCache(join(cacheFile, "not-a-folder/stat.json"));
    hashInputs(folder, [{ path: "app" }], cache);
    cache.save();
  });
});
