import { afterEach, beforeEach, expect, test } from "vitest";
import { changes, plainImage, refusals } from "../../test/steps/step-image.ts";
import type { StepImage } from "../../test/steps/step-image.ts";
import { sysctl } from "./sysctl.ts";

let image: StepImage;
beforeEach(async () => {
  image = await plainImage();
});
afterEach(() => image.dispose());

test.each([
  { "net.ipv4.ip_forward": 1 },
  {
    settings: {
      "kernel.core_pattern": "|/bin/false",
      "net/ipv4/conf/eth0.100/rp_filter": true,
      "-net.ipv6.conf.all.disable_ipv6": 1,
      "net.ipv4.conf.*.rp_filter": 2,
    },
    name: "90-x",
  },
])("%j is fine", (options) => expect(refusals(sysctl, options)).toEqual([]));

test.each([
  [{}],
  [{ swappiness: 1 }],
  [{ "vm.swappiness": "1\n2" }],
  [{ "vm.swap piness": 1 }],
  [{ settings: { "vm.x": 1 }, name: "../x" }],
  [{ settings: {} }],
  [{ settings: { "vm.x": [1] } }],
])("%j is refused", (options) => {
  expect(refusals(sysctl, options).length).toBeGreaterThan(0);
});

test.each([
  [undefined, "/etc/sysctl.d/60-base-step.conf"],
  ["hardening", "/etc/sysctl.d/60-hardening.conf"],
  ["90-last.conf", "/etc/sysctl.d/90-last.conf"],
])("writes one file (%s)", async (name, path) => {
  const before = image.tree();
  await image.run(sysctl, {
    settings: { "vm.swappiness": 10, "kernel.panic": true, "kernel.core_pattern": "core.%p" },
    ...(name === undefined ? {} : { name }),
  });
  expect(changes(before, image.tree()).added).toEqual({
    "/etc/sysctl.d": "directory 0755 0:0",
    [path]: 'file 0644 0:0 "vm.swappiness = 10\\nkernel.panic = 1\\nkernel.core_pattern = core.%p\\n"',
  });
});

test("takes settings without a file", async () => {
  await image.run(sysctl, { "net.core.somaxconn": 1024 });
  expect(image.root.readText("/etc/sysctl.d/60-base-step.conf")).toBe("net.core.somaxconn = 1024\n");
});
