import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { foundation, openImage, scratchFolder, removeScratch } from "../../../test/debian/image.ts";
import { debianPackages } from "../../../test/debian/packages.ts";
import { SHIMS } from "../../core/debian/shims/index.ts";
import { ownInstaller } from "./index.ts";

afterAll(removeScratch);

const shim = (name: string) => {
  const found = SHIMS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`There is no shim ${name}`);
  return { ...found, file: { path: `shim/${name}`, content: found.script, mode: 0o755 } };
};

let below: Awaited<ReturnType<typeof foundation>>;
beforeAll(async () => {
  below = await foundation("bookworm");
}, 300_000);

const UNITS: Readonly<Record<string, string>> = {
  "plain.service": "[Unit]\nDescription=x\n[Install]\nWantedBy=multi-user.target\n",
  "two.timer": "[Install]\nWantedBy=timers.target basic.target\nRequiredBy=x.service\nWantedBy=late.target",
  "none.service": "[Service]\nExecStart=/bin/true\n",
  "empty.service": "",
  "nothing-wanted.service": "[Install]\nWantedBy=\n",
  "also.service": "[Install]\nWantedBy=multi-user.target\nAlso=plain.service\n",
  "alias.service": "[Install]\nAlias=other.service\nWantedBy=multi-user.target\n",
  "template@.service": "[Install]\nWantedBy=multi-user.target\nDefaultInstance=one\n",
  "instance@a-b.service": "[Install]\nWantedBy=multi-user.target\n",
  "quoted.service": '[Install]\nWantedBy="multi-user.target"\n',
  "lower.service": "[Install]\nwantedby=multi-user.target\n",
  "indented.service": "[Install]\n  WantedBy=multi-user.target\n",
  "spaces.service": "[Install]\nWantedBy= multi-user.target \n",
  "trailing.service": "[Install]\nWantedBy=multi-user.target  \n",
  "comment.service": "#WantedBy=graphical.target\n[Install]\n; Also=x\nWantedBy=multi-user.target\n",
  "twice.service": "[Install]\nWantedBy=multi-user.target multi-user.target\n",
  "crlf.service": "[Install]\r\nWantedBy=multi-user.target\r\n",
  "glob.service": "[Install]\nWantedBy=*\n",
};

/** Calls as debhelper's scripts make them. */
const CALLS = [
  "debian-installed U",
  "unmask U",
  "--quiet was-enabled U",
  "enable U",
  "update-state U",
  "--quiet was-enabled U",
  "enable U",
  "debian-installed U",
];
/** Calls that only the original answers, or that meet a state from before. */
const ODD_CALLS = [
  "was-enabled U",
  "is-enabled U",
  "update-state U",
  "--quiet was-enabled missing.service",
  "enable missing.service",
  "update-state missing.service",
  "disable U",
  "--user unmask U",
  "mask U",
  "unmask U",
  "purge U",
  "update-state U",
  "reenable U",
  "bogus U",
  "enable U two.timer",
  "",
  "enable",
  "--quiet was-enabled U",
];

test("deb-systemd-helper: the same links, state, output and exit codes as the original", async () => {
  const image = await openImage([below.folder]);
  try {
    for (const [name, text] of Object.entries(UNITS)) image.root.write(`/lib/systemd/system/${name}`, text);
    const { file } = shim("deb-systemd-helper");
    const run = async (program: string): Promise<string> => {
      const call = (text: string, unit: string): string =>
        `echo "> ${text}"; ${program} ${text.replaceAll("U", `'${unit}'`)} 2>&1 | sed 's,/usr/bin/,,;s,/run/shim/,,;s/ at .* line .*//'; echo "$?"; state`;
      const lines = [...Object.keys(UNITS), "etc.service"].flatMap((unit) => [
        `echo "== ${unit}"; rm -rf /etc/systemd/system /var/lib/systemd; mkdir -p /etc/systemd/system`,
        "printf '[Install]\\nWantedBy=multi-user.target\\n' > /etc/systemd/system/etc.service",
        ...[...CALLS, ...(unit === "plain.service" ? ODD_CALLS : [])].map((text) => call(text, unit)),
      ]);
      const state = `state() { find /etc/systemd $(ls -d /var/lib/systemd 2>/dev/null) -printf '%p %y %m %l\\n' | sort; find /var/lib/ -path '/var/lib/systemd/*' -type f | sort | while read f; do echo "$f:"; cat "$f"; done; }`;
      const script = `set -o pipefail 2>/dev/null || true\n${state}\n${lines.join("\n")}`;
      const result = await image.sandbox.check({
        argv: ["/bin/bash", "-c", script],
        environment: { DPKG_MAINTSCRIPT_PACKAGE: "x" },
        memoryFiles: [file],
        captureStdout: true,
      });
      return result.stdout ?? "";
    };
    const original = await run("/usr/bin/deb-systemd-helper");
    expect(original.length).toBeGreaterThan(10_000);
    expect(await run("/run/shim/deb-systemd-helper")).toBe(original);
  } finally {
    await image.close();
  }
}, 120_000);

test("what a shim stands for is what Debian ships", async () => {
  const image = await openImage([below.folder]);
  try {
    const { replaces } = shim("deb-systemd-helper");
    expect(await image.sh(`sha256sum < ${replaces?.path}`)).toBe(`${replaces?.sha256}  -\n`);
  } finally {
    await image.close();
  }
});

describe("update-ca-certificates", () => {
  const CASES: Readonly<Record<string, string>> = {
    "at first": "rm -f /etc/ssl/certs/*",
    "once more": ":",
    "one is missing": "rm /etc/ssl/certs/ISRG_Root_X1.pem",
    "one leads elsewhere": "ln -sf /nowhere /etc/ssl/certs/ISRG_Root_X1.pem; ln -s /gone /etc/ssl/certs/orphan",
    "one is switched off": "sed -i 's,^mozilla/ISRG_Root_X2,!&,' /etc/ca-certificates.conf",
    "one is local":
      "mkdir -p /usr/local/share/ca-certificates; cp /usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt '/usr/local/share/ca-certificates/our (own), ca.crt'",
    "one is listed and absent": "echo mozilla/Absent.crt >> /etc/ca-certificates.conf",
    "a hook looks on":
      "rm /etc/ssl/certs/ISRG_Root_X1.pem; printf '#!/bin/sh\\ncat > /hook-saw; exit 3\\n' > /etc/ca-certificates/update.d/look; chmod 755 /etc/ca-certificates/update.d/look",
    "a stale bundle is there": "echo stale > /etc/ssl/certs/ca-certificates.crt.new",
    "without a last line end":
      "printf '%s' \"$(cat /usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt)\" > /usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt",
    "no list": ": > /etc/ca-certificates.conf",
  };

  test("the same as the original in every case", async () => {
    const { set } = await debianPackages("bookworm", ["ca-certificates"], { over: below.locked, workFolder: scratchFolder() });
    const image = await openImage([below.folder]);
    const { file, replaces } = shim("update-ca-certificates");
    try {
      await image.add(ownInstaller(), set);
      expect(await image.sh(`sha256sum < ${replaces?.path}`)).toBe(`${replaces?.sha256}  -\n`);
      const script = `
        save() { for d in etc/ssl etc/ca-certificates usr/share/ca-certificates usr/local/share; do mkdir -p "$1/$d"; cp -a "/$d/." "$1/$d/"; done; cp -a /etc/ca-certificates.conf "$1/etc/"; }
        restore() { for d in etc/ssl etc/ca-certificates usr/share/ca-certificates usr/local/share; do rm -rf "/$d"; mkdir -p "/$d"; cp -a "$1/$d/." "/$d/"; done; cp -a "$1/etc/ca-certificates.conf" /etc/; rm -f /hook-saw; }
        state() { find /etc/ssl /etc/ca-certificates -printf '%p %y %m %l\\n' | sort; md5sum /etc/ssl/certs/ca-certificates.crt* /hook-saw 2>/dev/null; }
        save /tmp/clean
        ${Object.entries(CASES)
          .map(([name, change]) =>
            ["/usr/sbin/update-ca-certificates", "/run/shim/update-ca-certificates"]
              .map(
                (program, way) =>
                  `restore /tmp/clean; ${change}; { ${program} ${name === "at first" ? '--hooksdir ""' : ""} 2>&1; echo "exit $?"; state; } > "/tmp/${way}"`,
              )
              .concat(`cmp /tmp/0 /tmp/1 >/dev/null && echo 'same: ${name}' || { echo 'other: ${name}'; diff /tmp/0 /tmp/1 | head -20; }`)
              .join("\n"),
          )
          .join("\n")}`;
      const result = await image.sandbox.check({ argv: ["/bin/sh", "-c", script], memoryFiles: [file], captureStdout: true });
      expect(result.stdout?.trim().split("\n")).toEqual(Object.keys(CASES).map((name) => `same: ${name}`));
    } finally {
      await image.close();
    }
  }, 120_000);
});
