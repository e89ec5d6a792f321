import { afterEach, beforeEach, expect, test } from "vitest";
import { askedTree, refusals, type AskedTree } from "../../test/checks/asked-tree.ts";
import { user } from "./user.ts";

let tree: AskedTree;
beforeEach(() => {
  tree = askedTree();
  tree.put({
    "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\nshop:x:2000:2000::/srv/shop:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nshop:x:2000:\nwww-data:x:33:shop\n",
    "/etc/shadow": "root:*:1::::::\nshop:!:1::::::\n",
  });
});
afterEach(() => tree.dispose());

test.each([["shop"], [{ name: "shop", exists: false }], [{ name: "shop", uid: 0, locked: true }]])("%j is fine", (options) =>
  expect(refusals(user, options)).toEqual([]),
);
test.each([[""], [{}], [{ name: "shop", uid: -1 }], [{ name: "shop", home: "srv" }], [{ name: "shop", user: 1 }]])(
  "%j is refused",
  (options) => expect(refusals(user, options).length).toBeGreaterThan(0),
);

test.each([
  ["shop"],
  [{ name: "shop", uid: 2000, gid: 2000, home: "/srv/shop", shell: "/usr/sbin/nologin", groups: ["shop", "www-data"], locked: true }],
  [{ name: "mallory", exists: false }],
])("%j passes", async (options) => expect(await tree.ask(user, options)).toMatchObject({ verdict: "passed" }));

test.each([
  ["mallory", "there is no account mallory"],
  [{ name: "root", exists: false }, "root is there, with uid 0"],
  [{ name: "shop", uid: 2001 }, "uid of shop is 2000, not 2001"],
  [{ name: "shop", groups: ["adm"] }, "shop is not in group adm"],
  [{ name: "shop", locked: false }, "shop has no password"],
])("%j fails: %s", async (options, summary) => expect(await tree.ask(user, options)).toMatchObject({ verdict: "failed", summary }));
