import { afterEach, beforeEach, expect, test } from "vitest";
import { dpkgStatus } from "../../test/image-store.ts";
import { askedTree, refusals, type AskedTree } from "../../test/checks/asked-tree.ts";
import { packageCheck } from "./package.ts";

let tree: AskedTree;
beforeEach(() => {
  tree = askedTree();
  const unpacked = "\nPackage: half\nStatus: install ok unpacked\nArchitecture: amd64\nVersion: 1\n";
  tree.put({ "/var/lib/dpkg/status": `${dpkgStatus({ nginx: "1.22.1-9", openssl: "3.0.15-1~deb12u1" })}${unpacked}` });
});
afterEach(() => tree.dispose());

test.each([["nginx"], [["nginx", "openssl"]], [{ versions: { nginx: ">= 1.2" }, absent: ["gcc"] }]])("%j is fine", (options) =>
  expect(refusals(packageCheck, options)).toEqual([]),
);
test.each([["Nginx"], [[]], [{ versions: { nginx: "~ 1" } }], [{ installed: "nginx" }], [{ packages: ["a"] }]])(
  "%j is refused",
  (options) => expect(refusals(packageCheck, options).length).toBeGreaterThan(0),
);

test.each([
  ["nginx"],
  [["nginx", "openssl"]],
  [{ versions: { nginx: "1.22.1-9", openssl: ">= 3.0.15-1~deb12u1" }, absent: ["gcc", "half"] }],
  [{ versions: { nginx: "<< 1.23" } }],
])("%j passes", async (options) => expect(await tree.ask(packageCheck, options)).toMatchObject({ verdict: "passed" }));

test.each([
  ["gcc", "gcc is not installed"],
  ["half", "half is not installed"],
  [{ versions: { nginx: ">= 1.23" } }, "nginx is 1.22.1-9, not >= 1.23"],
  [{ absent: ["nginx"] }, "nginx 1.22.1-9 is installed"],
  [["gcc", "make"], "gcc is not installed (and 1 more)"],
])("%j fails: %s", async (options, summary) => expect(await tree.ask(packageCheck, options)).toMatchObject({ verdict: "failed", summary }));

test("an image without dpkg gives no answer", async () => {
  const bare = askedTree();
  expect(await bare.ask(packageCheck, "nginx")).toMatchObject({ verdict: "error", summary: "the image has no dpkg database" });
  bare.dispose();
});
