import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { debSet, type DebSource } from "../../../test/debian/debs.ts";
import { differences, foundation, openImage, treeOf, type OpenImage, type Tree, removeScratch } from "../../../test/debian/image.ts";
import { mmdebstrapInstaller, ownInstaller } from "./index.ts";

afterAll(removeScratch);

let base: string;
beforeAll(async () => {
  base = (await foundation("bookworm")).folder;
}, 300_000);

/**
 * Differs between any two runs, and is taken out of every diff. Unincorp is empty in the end either way, but a diff names it only
 * if somebody has written it, as dpkg-trigger does.
 */
const NOISE =
  /^\/var\/(lib\/dpkg\/triggers\/Unincorp|log\/dpkg\.log|log\/alternatives\.log|lib\/dpkg\/[a-z]+-old|cache\/ldconfig\/aux-cache|cache\/debconf\/.*-old)$/;
const LEFT_TO_DPKG = "dpkg unpacks these packages itself: ";

interface Outcome {
  readonly tree: Tree;
  readonly error: string | undefined;
  /** Why dpkg had to unpack, if it had to. */
  readonly reason: string | undefined;
  readonly lines: readonly string[];
}

interface Case {
  /** Installed before, plainly. */
  readonly before?: readonly DebSource[];
  /** Done to the image before. */
  prepare?(image: OpenImage): Promise<unknown>;
  readonly debs: readonly DebSource[];
  readonly preseed?: string;
  /** What `dpkg --verify` says, nothing if absent. */
  readonly verify?: string;
  /** Looked at afterwards. */
  check?(image: OpenImage): Promise<unknown>;
}

async function addOnce(way: "own" | "plain", given: Case): Promise<Outcome> {
  const image = await openImage([base]);
  let error: string | undefined;
  try {
    if (given.before !== undefined) await image.add(mmdebstrapInstaller(), await debSet(given.before));
    await given.prepare?.(image);
    image.lines.length = 0;
    try {
      await image.add(way === "own" ? ownInstaller() : mmdebstrapInstaller(), await debSet(given.debs), given.preseed);
      expect(await image.sh("dpkg --audit; dpkg --verify")).toBe(given.verify ?? "");
    } catch (cause) {
      error = (cause as Error).message;
    }
    await given.check?.(image);
  } finally {
    await image.close();
  }
  const reason = image.lines.find((line) => line.startsWith(LEFT_TO_DPKG))?.slice(LEFT_TO_DPKG.length);
  return { tree: treeOf(image.upper, { times: true }), error, reason, lines: image.lines };
}

/** Both ways must leave the same; returns ours. */
async function add(given: Case): Promise<Outcome> {
  const plain = await addOnce("plain", given);
  const own = await addOnce("own", given);
  expect(differences(plain.tree, own.tree).filter((line) => !NOISE.test(line.slice(0, line.indexOf(": "))))).toEqual([]);
  expect(own.error).toEqual(plain.error);
  return own;
}

describe("new packages are unpacked here, as dpkg would", () => {
  test("files of every kind, owners by name, odd names, all compressions", async () => {
    const own = await add({
      debs: [
        {
          name: "kinds",
          architecture: "amd64",
          build: `mkdir -p usr/share/kinds/empty usr/bin var/mail2 usr/share/kinds/${"long/".repeat(30)}
            echo tool > usr/bin/kinds; chmod 4755 usr/bin/kinds; ln usr/bin/kinds usr/bin/kinds-too
            ln -s ../share/kinds usr/bin/kinds-link; ln -s /nowhere usr/share/kinds/dangling
            echo x > "$(printf 'usr/share/kinds/b\\303\\244cker-\\344-raw')"; echo x > "usr/share/kinds/a b'c"
            echo x > usr/share/kinds/${"long/".repeat(30)}file; touch usr/share/kinds/nothing
            chgrp 8 var/mail2; chmod 2775 var/mail2; echo m > var/mail2/box; chown 33:42 var/mail2/box; chmod 2640 var/mail2/box
            head -c 3000000 /dev/zero > usr/share/kinds/big`,
        },
        { name: "kinds-gzip", compression: "gzip", build: "mkdir -p usr/share/kinds; echo g > usr/share/kinds/gzip" },
        { name: "kinds-zstd", compression: "zstd", build: "mkdir -p usr/share/kinds; echo z > usr/share/kinds/zstd" },
        { name: "kinds-none", compression: "none", build: "mkdir -p usr/share/kinds; echo n > usr/share/kinds/none" },
        { name: "nothing-at-all" },
      ],
    });
    expect(own).toMatchObject({ error: undefined, reason: undefined });
    expect(own.tree.get("/usr/bin/kinds")).toMatch(/^104755 0:0 /);
    expect(own.tree.get("/var/mail2/box")).toMatch(/^102640 33:42 /);
  });

  test("paths below a link are followed inside the image", async () => {
    // bookworm's base-files has /var/run -> /run, which is absolute; /lib -> usr/lib is made
    const own = await add({
      prepare: async ({ root }) => {
        root.makeDirectory("/srv/elsewhere");
        root.symlink("/opt/linked", "/srv/elsewhere");
      },
      debs: [{ name: "linked", build: "mkdir -p opt/linked/below lib/linked; echo x > lib/linked/file; echo x > opt/linked/below/file" }],
    });
    expect(own).toMatchObject({ error: undefined, reason: undefined });
    expect(own.tree.has("/usr/lib/linked/file")).toBe(true);
    expect(own.tree.has("/srv/elsewhere/below/file")).toBe(true);
    const volatile = await add({
      debs: [{ name: "volatile", build: "mkdir -p var/run/volatile" }],
      verify: "missing     /var/run/volatile\n",
    });
    expect(volatile.reason).toBe("volatile brings /var/run/volatile, which is a folder of the running system");
  });

  test("md5sums are made for a package without", async () => {
    const own = await add({
      debs: [
        {
          name: "sums",
          control: { conffiles: "/etc/sums.conf" },
          build:
            "mkdir -p etc usr/share/sums; echo a > etc/sums.conf; echo b > usr/share/sums/b; ln -s b usr/share/sums/c; ln usr/share/sums/b usr/share/sums/hard",
        },
      ],
    });
    expect(own).toMatchObject({ error: undefined, reason: undefined });
    expect(own.tree.has("/var/lib/dpkg/info/sums.md5sums")).toBe(true);
  });

  test("several architectures side by side have their names in dpkg's database", async () => {
    const own = await add({
      debs: [
        { name: "libside", architecture: "amd64", fields: ["Multi-Arch: same"], build: "mkdir -p usr/lib/side; echo a > usr/lib/side/a" },
      ],
    });
    expect(own.tree.has("/var/lib/dpkg/info/libside:amd64.list")).toBe(true);
  });

  test("conffiles: new ones are put in place, those that a step has brought before stay", async () => {
    const own = await add({
      prepare: async ({ root }) => root.write("/etc/conf-b", "mine\n", { mode: 0o600 }),
      debs: [
        {
          name: "conf",
          control: { conffiles: "/etc/conf-a\n/etc/conf-b" },
          build: "mkdir etc; echo a > etc/conf-a; echo b > etc/conf-b; chmod 640 etc/conf-a",
        },
      ],
      verify: "??5?????? c /etc/conf-b\n",
      check: async ({ root }) => {
        expect(root.readText("/etc/conf-a")).toBe("a\n");
        expect(root.readText("/etc/conf-b")).toBe("mine\n");
      },
    });
    expect(own.error).toBeUndefined();
  });

  test("a preinst runs before the files are there, and only if it does something", async () => {
    const own = await add({
      debs: [
        {
          name: "early",
          control: {
            preinst:
              'echo "$0 $* $DPKG_MAINTSCRIPT_NAME $DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_ARCH $DPKG_ADMINDIR" > /early-says; ls /usr/share/early >> /early-says 2>&1 || true; ls "$(dirname "$0")" >> /early-says',
          },
          build: "mkdir -p usr/share/early; echo a > usr/share/early/a",
        },
        { name: "idle", control: { preinst: 'dpkg-maintscript-helper rm_conffile /etc/idle 1.0~ -- "$@"' } },
      ],
      check: async ({ root }) => {
        expect(root.readText("/early-says")).toContain("/var/lib/dpkg/tmp.ci/preinst install preinst early all /var/lib/dpkg\n");
        expect(root.readText("/early-says")).toContain("/usr/share/early': No such file or directory");
      },
    });
    expect(own).toMatchObject({ error: undefined, reason: undefined });
    expect(own.lines).toContain("Preparing early ...");
    expect(own.lines).not.toContain("Preparing idle ...");
  });

  test("triggers: by name, by path, awaited or not, each interested package once", async () => {
    const interested = (name: string, triggers: string): DebSource => ({
      name,
      control: { triggers, postinst: `echo "$1 $2" >> /triggers-of-${name}` },
    });
    const own = await add({
      before: [
        interested("watch-name", "interest shop-changed"),
        interested("watch-path", "interest-noawait /usr/share/shop"),
        interested("watch-other", "interest other"),
      ],
      debs: [
        { name: "shop-a", control: { triggers: "activate shop-changed" }, build: "mkdir -p usr/share/shop; echo a > usr/share/shop/a" },
        {
          name: "shop-b",
          control: { triggers: "activate-noawait shop-changed" },
          build: "mkdir -p usr/share/shop; echo b > usr/share/shop/b",
        },
        interested("watch-new", "interest shop-changed\ninterest-noawait /usr/share/shop"),
      ],
      check: async ({ root }) => {
        expect(root.readText("/triggers-of-watch-name")).toBe("configure \ntriggered shop-changed\n");
        expect(root.readText("/triggers-of-watch-path")).toBe("configure \ntriggered /usr/share/shop\n");
        expect(root.readText("/triggers-of-watch-other")).toBe("configure \n");
        expect(root.readText("/triggers-of-watch-new")).toMatch(/^configure \n/);
      },
    });
    expect(own).toMatchObject({ error: undefined, reason: undefined });
  });

  test("what is pre-depended on is configured first", async () => {
    const own = await add({
      debs: [
        { name: "zz-first", fields: ["Depends: zz-below"], control: { postinst: "echo zz-first >> /order" } },
        { name: "zz-below", control: { postinst: "echo zz-below >> /order" } },
        { name: "aa-second", fields: ["Pre-Depends: zz-first"], control: { preinst: "echo aa-second >> /order" } },
      ],
      check: async ({ root }) => expect(root.readText("/order")).toBe("zz-below\nzz-first\naa-second\n"),
    });
    expect(own).toMatchObject({ error: undefined, reason: undefined });
  });

  test("questions are answered as the recipe says", async () => {
    const own = await add({
      preseed: "asking asking/colour select blue\nasking asking/never boolean true",
      debs: [
        {
          name: "asking",
          fields: ["Depends: debconf"],
          control: {
            templates: "Template: asking/colour\nType: select\nChoices: red, blue\nDefault: red\nDescription: Colour",
            config: ". /usr/share/debconf/confmodule\ndb_input high asking/colour || true\ndb_go || true",
            postinst: '. /usr/share/debconf/confmodule\ndb_get asking/colour\necho "$RET" > /colour',
          },
        },
      ],
      check: async ({ root }) => expect(root.readText("/colour")).toBe("blue\n"),
    });
    expect(own).toMatchObject({ error: undefined, reason: undefined });
  });
});

describe("what needs dpkg's rules is left to dpkg", () => {
  const conf = (version: string, text: string): DebSource => ({
    name: "conf",
    version,
    control: { conffiles: "/etc/conf" },
    build: `mkdir -p etc usr/share/conf; echo ${text} > etc/conf; echo x > usr/share/conf/${version}`,
  });

  test("a newer version of an installed package", async () => {
    const own = await add({
      before: [conf("1.0", "old")],
      debs: [conf("1.1", "new"), { name: "beside" }],
      check: async ({ root }) => expect(root.readText("/etc/conf")).toBe("new\n"),
    });
    expect(own).toMatchObject({ error: undefined, reason: "conf is known already (installed)" });
    expect(own.tree.has("/usr/share/conf/1.0")).toBe(false);
  });

  test("a newer version whose conffile was changed here", async () => {
    const own = await add({
      before: [conf("1.0", "old")],
      prepare: async ({ root }) => root.write("/etc/conf", "mine\n"),
      debs: [conf("1.1", "new")],
      verify: "??5?????? c /etc/conf\n",
    });
    expect(own.error).toBeUndefined();
    expect(own.tree.has("/etc/conf.dpkg-dist")).toBe(true);
  });

  test("a file that another package of the image has", async () => {
    const own = await add({ debs: [{ name: "thief", build: "mkdir -p usr/bin; echo x > usr/bin/jq; echo x > usr/bin/tac" }] });
    expect(own.reason).toBe("something is at /usr/bin/tac already");
    expect(own.error).toMatch(/^thief: trying to overwrite '\/usr\/bin\/tac', which is also in package coreutils /);
  });

  test("one file in two packages of the step", async () => {
    const own = await add({
      debs: ["twin-a", "twin-b"].map((name): DebSource => ({ name, build: `mkdir -p usr/share; echo ${name} > usr/share/twin` })),
    });
    expect(own.reason).toBe("twin-b (1.0) would overwrite /usr/share/twin, which is also in twin-a (1.0)");
    expect(own.error).toMatch(/^twin-b: trying to overwrite '\/usr\/share\/twin', which is also in package twin-a 1.0/);
  });

  test("one that replaces the other's file", async () => {
    const own = await add({
      debs: [
        { name: "twin-a", build: "mkdir -p usr/share; echo a > usr/share/twin" },
        { name: "twin-b", fields: ["Replaces: twin-a"], build: "mkdir -p usr/share; echo b > usr/share/twin" },
      ],
    });
    expect(own.error).toBeUndefined();
  });

  test("diversions, in the image and by a preinst", async () => {
    const other: DebSource = {
      name: "diverter",
      control: { preinst: "dpkg-divert --package diverter --add --rename --divert /usr/share/theirs.diverted /usr/share/theirs" },
    };
    const theirs: DebSource = { name: "theirs", build: "mkdir -p usr/share; echo x > usr/share/theirs" };
    expect(await add({ before: [other], debs: [theirs] })).toMatchObject({
      error: undefined,
      reason: "/usr/share/theirs is diverted or has a statoverride",
    });
    const own: DebSource = {
      name: "replacer",
      control: { preinst: "dpkg-divert --package replacer --add --rename --divert /usr/bin/tac.real /usr/bin/tac" },
      build: "mkdir -p usr/bin; echo mine > usr/bin/tac",
    };
    expect(
      (await add({ debs: [own], check: async ({ root }) => expect(root.readText("/usr/bin/tac")).toBe("mine\n") })).error,
    ).toBeUndefined();
  });

  test("statoverrides and dpkg's own options", async () => {
    const file: DebSource = {
      name: "plainfile",
      build: "mkdir -p usr/share/doc/plainfile usr/share; echo x > usr/share/plainfile; echo x > usr/share/doc/plainfile/x",
    };
    const overridden = await add({
      prepare: ({ sh }) => sh("dpkg-statoverride --add www-data www-data 0600 /usr/share/plainfile"),
      debs: [file],
    });
    expect(overridden.reason).toBe("/usr/share/plainfile is diverted or has a statoverride");
    expect(overridden.tree.get("/usr/share/plainfile")).toMatch(/^100600 33:33 /);
    const excluded = await add({
      prepare: async ({ root }) => root.write("/etc/dpkg/dpkg.cfg.d/nodoc", "path-exclude=/usr/share/doc/*\n"),
      debs: [file],
      verify: "missing     /usr/share/doc/plainfile\nmissing     /usr/share/doc/plainfile/x\n",
    });
    expect(excluded).toMatchObject({ error: undefined, reason: "dpkg is configured with path-exclude=/usr/share/doc/*" });
    expect(excluded.tree.has("/usr/share/doc/plainfile/x")).toBe(false);
  });

  test("packages that exclude each other, and another architecture", async () => {
    const conflict = await add({ debs: [{ name: "no-tar", fields: ["Conflicts: tar (>= 1)"] }] });
    expect(conflict.reason).toBe("no-tar excludes tar");
    expect(conflict.error).toContain("no-tar");
    const virtual = await add({
      debs: [
        { name: "mail-a", fields: ["Provides: mta", "Conflicts: mta"] },
        { name: "mail-b", fields: ["Provides: mta", "Conflicts: mta"] },
      ],
    });
    expect(virtual.reason).toMatch(/^mail-[ab] excludes mail-[ab]$/);
    const own = await add({ debs: [{ name: "foreign", architecture: "armhf" }] });
    expect(own.error).toContain("package architecture (armhf) does not match system (amd64)");
    expect(
      (await add({ debs: [{ name: "old-only", fields: ["Breaks: tar (<< 1.0)", "Conflicts: nobody-has-this"] }] })).reason,
    ).toBeUndefined();
  });
});

describe("a package that fails is named, with what it said", () => {
  test("in its postinst; others that wait for it come after", async () => {
    const own = await add({
      debs: [
        { name: "broken", control: { postinst: 'echo "cannot reach the moon" >&2\nexit 3' } },
        { name: "waits", fields: ["Depends: broken"] },
        { name: "fine", control: { postinst: "echo all is well" } },
      ],
    });
    expect(own.error).toMatch(
      /^broken: installed broken package post-installation script subprocess returned error exit status 3\n {2}\| cannot reach the moon\n/,
    );
    expect(own.error).toContain("and waits, which waits for it or failed after it");
    expect(own.error).not.toContain("all is well");
  });

  test("in its preinst", async () => {
    const plain = await addOnce("plain", { debs: [{ name: "broken", control: { preinst: "echo too early; exit 4" } }] });
    const own = await addOnce("own", { debs: [{ name: "broken", control: { preinst: "echo too early; exit 4" } }] });
    expect(own.error).toBe("broken: new preinst script returned error exit status 4\n  | too early");
    expect(plain.error).toContain(
      "broken: new broken package pre-installation script subprocess returned error exit status 4\n  | too early",
    );
  });
});

test("services are not started, host keys not made, and no trace of that stays", async () => {
  const own = await add({
    prepare: async ({ root }) => root.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", { mode: 0o755 }),
    debs: [
      {
        name: "server",
        fields: ["Depends: init-system-helpers"],
        control: {
          postinst: `mkdir -p /etc/ssh; printf '#!/bin/sh\\necho started > /started\\n' > /etc/init.d/server; chmod 755 /etc/init.d/server
            invoke-rc.d server start || true; start-stop-daemon --start --exec /bin/false
            ssh-keygen -q -f /etc/ssh/ssh_host_rsa_key -N ''; ssh-keygen -A; echo secret > /etc/ssh/ssh_host_ed25519_key`,
        },
      },
    ],
    check: async ({ root }) => {
      expect(root.stat("/started")).toBeUndefined();
      expect(root.list("/etc/ssh")).toEqual([]);
      expect(root.readText("/usr/sbin/policy-rc.d")).toBe("#!/bin/sh\nexit 0\n");
    },
  });
  expect(own).toMatchObject({ error: undefined, reason: undefined });
});

test("an image without dpkg says so", async () => {
  const image = await openImage([]);
  try {
    await expect(image.add(ownInstaller(), await debSet([{ name: "some" }]))).rejects.toThrow(
      "This image has no dpkg, so no package can be installed in it",
    );
  } finally {
    await image.close();
  }
});
