import { createHash } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { askedTree, refusals, type AskedTree } from "../../test/checks/asked-tree.ts";
import { file } from "./file.ts";

let tree: AskedTree;
beforeEach(() => {
  tree = askedTree();
  tree.put({
    "/etc/app.conf": { content: "port = 80\nname = shop\n", mode: 0o640, gid: 42 },
    "/srv/current": { link: "/srv/one" },
    "/srv/one/x": "x",
  });
});
afterEach(() => tree.dispose());

const sha256 = createHash("sha256").update("port = 80\nname = shop\n").digest("hex");

test.each([["/etc/app.conf"], [{ path: "/a", mode: "0640", owner: 0 }], [{ path: "/a", exists: false }]])("%j is fine", (options) =>
  expect(refusals(file, options)).toEqual([]),
);
test.each([
  ["etc/app"],
  [{ path: "/a/../b" }],
  [{ path: "/a", mode: 640 }],
  [{ path: "/a", matches: "(" }],
  [{ path: "/a", sha256: "ab" }],
])("%j is refused", (options) => expect(refusals(file, options).length).toBeGreaterThan(0));

test.each([
  ["/etc/app.conf"],
  [
    {
      path: "/etc/app.conf",
      type: "file",
      mode: "640",
      owner: "root",
      group: "shadow",
      sha256,
      contains: "80",
      lacks: "81",
      matches: "^name",
    },
  ],
  [{ path: "/srv/current", target: "/srv/one" }],
  [{ path: "/srv/current/x", contains: "x" }],
  [{ path: "/srv/two", exists: false }],
])("%j passes", async (options) => expect(await tree.ask(file, options)).toMatchObject({ verdict: "passed" }));

test.each([
  ["/etc/none", "/etc/none is not there"],
  [{ path: "/srv/current", exists: false }, "/srv/current is there: a symlink"],
  [{ path: "/etc/app.conf", mode: "0644" }, "mode of /etc/app.conf is 0640, not 0644"],
  [{ path: "/etc/app.conf", group: "root" }, "group of /etc/app.conf is shadow, not root"],
  [{ path: "/etc/app.conf", sha256: "0".repeat(64) }, `SHA-256 of /etc/app.conf is ${sha256}, not ${"0".repeat(64)}`],
  [{ path: "/etc/app.conf", contains: "81" }, '/etc/app.conf does not contain "81"'],
  [{ path: "/etc/app.conf", lacks: "shop" }, '/etc/app.conf contains "shop"'],
  [{ path: "/etc/app.conf", matches: "^shop" }, "/etc/app.conf does not match ^shop"],
  [{ path: "/srv/one", type: "file" }, "/srv/one is a directory, not a file"],
  [{ path: "/srv/current", target: "/srv/two" }, "/srv/current leads to /srv/one, not /srv/two"],
])("%j fails: %s", async (options, summary) => expect(await tree.ask(file, options)).toMatchObject({ verdict: "failed", summary }));
