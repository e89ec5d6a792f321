import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hostImageRoot } from "../adapters/image-root/image-root.ts";
import { changes, plainImage, refusals } from "../../test/steps/step-image.ts";
import type { StepImage } from "../../test/steps/step-image.ts";
import { systemd } from "./systemd.ts";

let image: StepImage;
beforeEach(async () => {
  image = await plainImage();
  image.root.makeDirectory("/usr/lib/systemd/system");
  image.root.makeDirectory("/etc/systemd/system");
  image.root.symlink("/lib", "usr/lib");
});
afterEach(() => image.dispose());

const SERVICE = "[Service]\nExecStart=/bin/true\n";
const install = (text: string): string => `${SERVICE}[Install]\n${text}`;
const vendor = (name: string, text: string): void => image.root.write(`/usr/lib/systemd/system/${name}`, text);
const links = (root = image.root): Readonly<Record<string, string>> => {
  const below = (folder: string): [string, string][] =>
    root.list(folder).flatMap((name): [string, string][] => {
      const path = `${folder}/${name}`;
      const target = root.readLink(path);
      if (target !== undefined) return [[path.slice("/etc/systemd/system/".length), target]];
      return root.lstat(path)?.kind === "directory" ? below(path) : [];
    });
  return Object.fromEntries(below("/etc/systemd/system"));
};
const failure = (options: unknown) =>
  image.run(systemd, options).then(
    () => undefined,
    (cause: unknown) => cause,
  );

describe("options", () => {
  test.each([
    [{}, ": says nothing to do: name units, dropIns, enable, disable, mask, unmask or defaultTarget"],
    [{ enable: ["a b"] }, 'enable.0: "a b" is no name of a unit, such as shop.service or tool@one.service'],
    [{ enable: ["../a.service"] }, 'enable.0: "../a.service" is no name of a unit, such as shop.service or tool@one.service'],
    [{ units: ["units/shop.txt"] }, "units: units/shop.txt is not named like a unit: write { name: …, from: units/shop.txt }"],
    [{ units: [{ content: "x" }] }, "units.0.name: a unit given as text needs a name"],
    [{ units: [{ name: "a.service", content: "x", from: "y" }] }, "units.0: needs either content or from"],
    [
      { dropIns: [{ unit: "a", name: "x", content: "y" }] },
      'dropIns.0.name: "x" is no file name that ends in .conf, such as 10-limits.conf',
    ],
    [{ enable: ["nginx"], mask: ["nginx.service"] }, "enable: nginx.service is under mask as well"],
    [{ defaultTarget: "graphical" }, 'defaultTarget: "graphical" is no target, such as multi-user.target'],
  ])("%j is refused", (options, message) => expect(refusals(systemd, options)).toContain(message));
});

describe("units and drop-ins", () => {
  test("are written and enabled", async () => {
    image.put("units/shop.service", install("WantedBy=multi-user.target"));
    image.put("report", "[Timer]\nOnCalendar={{when}}\n[Install]\nWantedBy=timers.target\n");
    const before = image.tree();
    await image.run(
      systemd,
      {
        units: [
          "units/shop.service",
          { name: "report.timer", from: "report", template: true },
          { name: "report", content: SERVICE.trimEnd() },
        ],
        dropIns: [{ unit: "nginx", content: "[Service]\nLimitNOFILE=1\n" }],
        enable: ["shop", "report.timer"],
      },
      { parameters: { when: "daily" } },
    );
    expect(changes(before, image.tree())).toEqual({
      added: {
        "/etc/systemd/system/multi-user.target.wants": "directory 0755 0:0",
        "/etc/systemd/system/multi-user.target.wants/shop.service": "link 0:0 → /etc/systemd/system/shop.service",
        "/etc/systemd/system/nginx.service.d": "directory 0755 0:0",
        "/etc/systemd/system/nginx.service.d/50-base-step.conf": 'file 0644 0:0 "[Service]\\nLimitNOFILE=1\\n"',
        "/etc/systemd/system/report.service": 'file 0644 0:0 "[Service]\\nExecStart=/bin/true\\n"',
        "/etc/systemd/system/report.timer": 'file 0644 0:0 "[Timer]\\nOnCalendar=daily\\n[Install]\\nWantedBy=timers.target\\n"',
        "/etc/systemd/system/shop.service":
          'file 0644 0:0 "[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target"'.replace('target"', 'target\\n"'),
        "/etc/systemd/system/timers.target.wants": "directory 0755 0:0",
        "/etc/systemd/system/timers.target.wants/report.timer": "link 0:0 → /etc/systemd/system/report.timer",
      },
      removed: [],
      changed: {},
    });
  });

  test("that are no unit files are refused, all at once", async () => {
    image.put("a.service", "[Unit]\nnonsense\n");
    const before = image.tree();
    expect(
      await failure({
        units: ["a.service", { name: "b.timer", content: "x=1\n[Timer]\n" }],
        dropIns: [{ unit: "c", content: "[Service\n" }],
      }),
    ).toMatchObject({
      code: "INPUT_INVALID",
      message: [
        'a.service:2:1: "nonsense" is neither a [Section] nor a Setting=value',
        "a.service: a service needs a [Service] section",
        'b.timer:1:1: "x=1" stands before the first [Section]',
        '50-base-step.conf:1:1: "[Service" is neither a [Section] nor a Setting=value',
      ].join("\n"),
    });
    expect(image.tree()).toEqual(before);
  });

  test("name the files and parameters that they are made of", () => {
    expect(
      systemd.requires?.({ units: ["a.service", { from: "b.service", template: true }], dropIns: [{ unit: "c", from: "d" }] }),
    ).toEqual({ files: [{ path: "a.service" }, { path: "b.service" }, { path: "d" }], parameters: "all" });
    expect(systemd.requires?.({ enable: ["x"] })).toEqual({});
  });
});

describe("enable", () => {
  test.each([
    ["static.service", "base/step: static.service has nothing to enable: no WantedBy=, RequiredBy= or Alias= in its [Install] section"],
    ["nginy.service", "base/step: cannot enable nginy.service: the image has no such unit"],
    ["masked.service", "base/step: cannot enable masked.service: it is masked"],
    ["many@.service", "base/step: cannot enable many@.service: it is a template without DefaultInstance="],
    [
      "taken.service",
      "base/step: /etc/systemd/system/web.service is a link to /lib/systemd/system/nginx.service already, not to /usr/lib/systemd/system/taken.service",
    ],
  ])("%s is refused", async (name, message) => {
    vendor("static.service", SERVICE);
    vendor("nginx.service", install("WantedBy=multi-user.target"));
    vendor("many@.service", install("WantedBy=multi-user.target"));
    vendor("taken.service", install("Alias=web.service"));
    image.root.symlink("/etc/systemd/system/masked.service", "/dev/null");
    image.root.symlink("/etc/systemd/system/web.service", "/lib/systemd/system/nginx.service");
    expect(await failure({ enable: [name] })).toMatchObject({ code: "STEP_FAILED", message, help: { hint: expect.any(String) } });
  });

  test("what is enabled already stays as it is", async () => {
    vendor("nginx.service", install("WantedBy=multi-user.target"));
    image.root.symlink("/etc/systemd/system/multi-user.target.wants/nginx.service", "/lib/systemd/system/nginx.service");
    const before = image.tree();
    await image.run(systemd, { enable: ["nginx"] });
    expect(image.tree()).toEqual(before);
  });
});

test("mask, unmask and the default target", async () => {
  vendor("graphical.target", "[Unit]\n");
  await image.run(systemd, { mask: ["apt-daily.timer", "not-there"], defaultTarget: "graphical.target" });
  expect(links()).toEqual({
    "apt-daily.timer": "/dev/null",
    "not-there.service": "/dev/null",
    "default.target": "/usr/lib/systemd/system/graphical.target",
  });
  await image.run(systemd, { unmask: ["not-there", "never-masked"] });
  expect(links()).not.toHaveProperty(["not-there.service"]);
  image.root.write("/etc/systemd/system/own.service", SERVICE);
  expect(await failure({ mask: ["own"] })).toMatchObject({
    message: "base/step: /etc/systemd/system/own.service is a file, so it cannot be masked",
  });
});

/** Without it the test below has nothing to compare with; CI images of Debian have it. */
const hasSystemctl = spawnSync("systemctl", ["--version"]).status === 0;

describe.runIf(hasSystemctl)("does what systemctl --root does", () => {
  let other: string;
  beforeEach(() => {
    other = mkdtempSync(join(tmpdir(), "bakehouse-systemctl-"));
  });
  afterEach(() => rmSync(other, { recursive: true, force: true }));

  const units: Readonly<Record<string, string>> = {
    "multi-user.target": "[Unit]\n",
    "graphical.target": "[Unit]\n[Install]\nAlias=default.target\n",
    "a.service": install("WantedBy=multi-user.target graphical.target\nAlias=aa.service\nAlso=b.socket\n"),
    "b.socket": "[Socket]\nListenStream=1\n[Install]\nRequiredBy=sockets.target\n",
    "t@.service": install("WantedBy=multi-user.target\nDefaultInstance=main\nAlias=x@.service\n"),
    "n@.service": install("WantedBy=multi-user.target x-%i.target\nRequiredBy=p-%p.target n-%N.target\n"),
    "alias.service": install("Alias=other.service\n"),
    "dropped.service": install("WantedBy=multi-user.target\n"),
    "dropped.service.d/a.conf": "[Install]\nWantedBy=drop.target\n",
    "reset.service": install(
      'WantedBy=one.target \\\n  two.target\n# comment\nWantedBy=\nWantedBy="three.target"\nwantedby=wrong.target\n',
    ),
    "only-also.service": install("Also=a.service only-also.service\n"),
    "n@own.service.d/x.conf": "[Install]\nWantedBy=instance.target\n",
    "n@.service.d/y.conf": "[Install]\nWantedBy=template.target\n",
    "sub-part.service": install("WantedBy=%p.target %N.target\n"),
  };

  const same = (name: string, verbs: readonly ("enable" | "disable")[]): Promise<void> => compare(verbs.map((verb) => ({ verb, name })));
  const compare = async (commands: readonly { readonly verb: "enable" | "disable"; readonly name: string }[]): Promise<void> => {
    for (const [name, text] of Object.entries(units)) vendor(name, text);
    image.root.symlink("/usr/lib/systemd/system/to-a.service", "a.service");
    image.root.write("/etc/os-release", execFileSync("cat", ["/etc/os-release"]));
    cpSync(image.root.hostPath, other, { recursive: true, verbatimSymlinks: true });
    for (const { verb, name } of commands) {
      execFileSync("systemctl", [`--root=${other}`, verb, name], { stdio: "ignore" });
      await image.run(systemd, { [verb]: [name] });
    }
    expect(links()).toEqual(links(hostImageRoot(other)));
  };

  test.each([
    "a.service",
    "a",
    "b.socket",
    "t@.service",
    "t@inst.service",
    "n@foo.service",
    "n@own.service",
    "alias.service",
    "dropped.service",
    "reset.service",
    "only-also.service",
    "to-a.service",
    "graphical.target",
    "sub-part.service",
  ])("enable %s", async (name) => {
    await same(name, ["enable"]);
    expect(Object.keys(links()).length).toBeGreaterThan(0);
  });

  test.each(["a.service", "t@.service", "t@inst.service", "alias.service", "only-also.service"])("disable %s again", (name) =>
    same(name, ["enable", "disable"]),
  );
  test("disable one of two", () =>
    compare([
      { verb: "enable", name: "a.service" },
      { verb: "enable", name: "dropped.service" },
      { verb: "disable", name: "a.service" },
    ]));
  test("disable a template with two instances, and one instance of two", async () => {
    await compare([
      { verb: "enable", name: "n@one.service" },
      { verb: "enable", name: "n@two.service" },
      { verb: "disable", name: "n@one.service" },
    ]);
  });
});
