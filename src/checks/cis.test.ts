import { afterEach, beforeEach, expect, test } from "vitest";
import { dpkgStatus } from "../../test/image-store.ts";
import { askedTree, refusals, type AskedTree } from "../../test/checks/asked-tree.ts";
import { cis } from "./cis.ts";

let tree: AskedTree;
beforeEach(() => {
  tree = askedTree();
  tree.put({
    "/etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
    "/var/lib/dpkg/status": dpkgStatus({ "base-files": "12.4" }),
  });
});
afterEach(() => tree.dispose());

test.each([[{}], [{ profile: "anssi_np_nt28_high", rules: ["sshd_*"], except: ["*audit*"], severity: "high" }]])("%j is fine", (options) =>
  expect(refusals(cis, options)).toEqual([]),
);
test.each([[{ rules: [] }], [{ rules: ["a b"] }], [{ severity: "grave" }], [{ profile: "; rm" }]])("%j is refused", (options) =>
  expect(refusals(cis, options).length).toBeGreaterThan(0),
);

const rules = ["file_permissions_etc_shadow"];

test("a rule that holds passes, and the answer says whose content it was", async () => {
  const result = await tree.ask(cis, { rules, content: "nearest" });
  expect(result).toMatchObject({ verdict: "passed", answered: { passed: 1 } });
  expect(result.summary).toMatch(/1 rules hold, by the content for Debian 11/);
});

test("a rule that does not hold fails, unless it is excepted: then nothing is left to say", async () => {
  tree.put({ "/etc/shadow": { content: "root:*:1::::::\n", mode: 0o666 } });
  expect(await tree.ask(cis, { rules, content: "nearest" })).toMatchObject({ verdict: "failed", answered: { failed: rules } });
  expect(await tree.ask(cis, { rules, content: "nearest", except: ["file_*"] })).toMatchObject({ verdict: "inconclusive" });
});

test("without the tool there is no answer, and never a pass", async () => {
  const result = await tree.ask(cis, { rules }, { environment: { PATH: "/nowhere" } });
  // /usr/sbin is looked into as well; oscap lies in /usr/bin
  expect(result).toMatchObject({ verdict: "error", remedy: "apt-get install openscap-scanner ssg-debian" });
});

test("a profile that does not exist gives no answer", async () => {
  expect(await tree.ask(cis, { profile: "nonsense", content: "nearest" })).toMatchObject({ verdict: "error" });
});

test("the rules of another release are no answer, unless they are asked for", async () => {
  const { verdict, summary, remedy } = await tree.ask(cis, { rules });
  expect({ verdict, summary, remedy }).toEqual({
    verdict: "error",
    summary: "there is no content for Debian 12 on this machine, only for 10, 11",
    remedy: "install ssg-debian of a newer Debian, or say `content: nearest` for the rules of Debian 11",
  });
  tree.put({ "/etc/os-release": 'ID=debian\nVERSION_ID="11"\n' });
  expect(await tree.ask(cis, { rules })).toMatchObject({ verdict: "passed", summary: "1 rules hold" });
});

test("another distribution gives no answer", async () => {
  tree.put({ "/etc/os-release": "ID=alpine\n" });
  expect(await tree.ask(cis, {})).toMatchObject({ verdict: "error" });
});
