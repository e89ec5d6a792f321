import { afterEach, beforeEach, expect, test } from "vitest";
import { changes, plainImage, refusals } from "../../test/steps/step-image.ts";
import type { StepImage } from "../../test/steps/step-image.ts";
import { group } from "./group.ts";

let image: StepImage;
beforeEach(async () => {
  image = await plainImage();
});
afterEach(() => image.dispose());

const NAME_RULE = "is no name for an account: use at most 32 lower-case letters, digits, - and _, starting with a letter or _";
test.each([
  ["Deploy", `: "Deploy" ${NAME_RULE}`],
  ["a:b", `: "a:b" ${NAME_RULE}`],
  [{ name: "a".repeat(33) }, `name: "${"a".repeat(33)}" ${NAME_RULE}`],
  [{ name: "a", gid: -1 }, "gid: Too small: expected number to be >=0"],
])("%j is refused", (options, message) => expect(refusals(group, options)).toContain(message));

test("makes a group with the first free number", async () => {
  const before = image.tree();
  await image.run(group, "deploy");
  const { added, changed } = changes(before, image.tree());
  expect(added).toEqual({});
  expect(Object.keys(changed)).toEqual(["/etc/group", "/etc/gshadow"]);
  expect(image.root.readText("/etc/group")).toMatch(/\ndeploy:x:1000:\n$/);
  expect(image.root.readText("/etc/gshadow")).toMatch(/\ndeploy:!::\n$/);
  expect(image.root.stat("/etc/gshadow")?.mode).toBe(0o640);
  // 1001 and 1002 are taken by the user app.
  await image.run(group, "more");
  await image.run(group, { name: "service", system: true });
  expect(image.root.readText("/etc/group")).toMatch(/\nmore:x:1003:\nservice:x:999:\n$/);
});

test("adds members once and leaves the rest alone", async () => {
  await image.run(group, { name: "adm", members: ["www-data", "app"] });
  expect(image.root.readText("/etc/group")).toContain("\nadm:x:4:app,www-data\n");
  expect(image.root.readText("/etc/gshadow")).toContain("\nadm:*::app,www-data\n");
  const before = image.tree();
  await image.run(group, { name: "adm", members: ["app"] });
  expect(image.tree()).toEqual(before);
});

test("works where there is no gshadow", async () => {
  image.root.remove("/etc/gshadow");
  await image.run(group, { name: "x", gid: 7, members: ["app"] });
  expect(image.root.readText("/etc/group")).toMatch(/\nx:x:7:app\n$/);
  expect(image.root.stat("/etc/gshadow")).toBeUndefined();
});

test.each([
  [{ name: "adm", gid: 5 }, 'base/step: group "adm" has number 4 in the image, not 5'],
  [{ name: "new", gid: 4 }, 'base/step: number 4 belongs to group "adm"'],
  [{ name: "new", members: ["apq"] }, 'base/step: the image has no user "apq"'],
])("%j changes nothing", async (options, message) => {
  const before = image.tree();
  await expect(image.run(group, options)).rejects.toMatchObject({ code: "STEP_FAILED", message });
  expect(image.tree()).toEqual(before);
});
