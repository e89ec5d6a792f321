import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { changes, makeBase, plainImage, refusals, sandboxImage } from "../../test/steps/step-image.ts";
import type { StepImage } from "../../test/steps/step-image.ts";
import { system } from "./system.ts";

let image: StepImage;
beforeEach(async () => {
  image = await plainImage();
});
afterEach(() => image.dispose());

const changed = async (options: unknown) => {
  const before = image.tree();
  await image.run(system, options);
  return changes(before, image.tree());
};

test.each([
  [{}, ": needs at least one of hostname, locale, locales, timezone"],
  [{ hostname: "Web_1" }, 'hostname: "Web_1" is neither a host name in lower case, nor from-dhcp, nor empty'],
  [{ hostname: "a".repeat(65) }, `hostname: "${"a".repeat(65)}" is neither a host name in lower case, nor from-dhcp, nor empty`],
  [{ locale: "german" }, 'locale: "german" is no locale such as C.UTF-8 or de_DE.UTF-8'],
  [{ timezone: "../../etc/passwd" }, 'timezone: "../../etc/passwd" is no time zone such as Europe/Berlin or UTC'],
])("%j is refused", (options, message) => expect(refusals(system, options)).toContain(message));

describe("hostname", () => {
  test("of its own", async () => {
    image.root.write("/etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\told\n10.0.0.1 gateway\n");
    expect(await changed({ hostname: "web.example.org" })).toEqual({
      added: { "/etc/hostname": 'file 0644 0:0 "web.example.org\\n"' },
      removed: [],
      changed: { "/etc/hosts": 'file 0644 0:0 "127.0.0.1\\tlocalhost\\n127.0.1.1\\tweb.example.org web\\n10.0.0.1 gateway\\n"' },
    });
  });
  test("from the network, or empty", async () => {
    image.root.write("/etc/hostname", "old\n");
    image.root.write("/etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\told\n");
    expect(await changed({ hostname: "from-dhcp" })).toMatchObject({
      removed: ["/etc/hostname"],
      changed: { "/etc/hosts": expect.not.stringContaining("old") },
    });
    expect(await changed({ hostname: "empty" })).toMatchObject({ added: { "/etc/hostname": 'file 0644 0:0 ""' } });
  });
});

describe("timezone", () => {
  beforeEach(() => image.root.write("/usr/share/zoneinfo/Europe/Berlin", "TZif"));
  test("is a link and a name", async () => {
    expect((await changed({ timezone: "Europe/Berlin" })).added).toEqual({
      "/etc/localtime": "link 0:0 → /usr/share/zoneinfo/Europe/Berlin",
      "/etc/timezone": 'file 0644 0:0 "Europe/Berlin\\n"',
    });
  });
  test("that is not there is refused", async () => {
    await expect(changed({ timezone: "Europe/Berln" })).rejects.toMatchObject({
      message: "base/step: the image has no time zone Europe/Berln",
      help: { hint: expect.stringContaining('did you mean "Europe/Berlin"?') },
    });
    await expect(changed({ timezone: "Europe" })).rejects.toThrow("no time zone Europe");
    image.root.remove("/usr/share/zoneinfo");
    await expect(changed({ timezone: "Europe/Berlin" })).rejects.toMatchObject({ help: { hint: expect.stringContaining("tzdata") } });
    expect((await changed({ timezone: "UTC" })).added).toMatchObject({ "/etc/timezone": 'file 0644 0:0 "UTC\\n"' });
  });
});

describe("locale", () => {
  test("that is built in needs nothing", async () => {
    expect((await changed({ locale: "C.UTF-8" })).added).toMatchObject({ "/etc/default/locale": 'file 0644 0:0 "LANG=C.UTF-8\\n"' });
  });
  test("goes where Debian 13 has it", async () => {
    image.root.write("/etc/locale.conf", "");
    image.root.symlink("/etc/default/locale", "../locale.conf");
    expect((await changed({ locale: "C.UTF-8" })).changed).toEqual({ "/etc/locale.conf": 'file 0644 0:0 "LANG=C.UTF-8\\n"' });
  });
  test("needs the package locales, and to exist", async () => {
    await expect(changed({ locale: "de_DE.UTF-8" })).rejects.toMatchObject({
      code: "STEP_FAILED",
      help: { hint: expect.stringContaining("`locales`") },
    });
    image.root.write("/usr/sbin/locale-gen", "", { mode: 0o755 });
    image.root.write("/usr/share/i18n/SUPPORTED", "de_DE.UTF-8 UTF-8\nde_DE ISO-8859-1\n");
    await expect(changed({ locale: "de_DF.UTF-8" })).rejects.toMatchObject({
      message: "base/step: there is no locale de_DF.UTF-8",
      help: { hint: 'did you mean "de_DE.UTF-8"?' },
    });
  });
  test("is generated in the sandbox", async () => {
    const base = makeBase();
    onTestFinished(() => base.dispose());
    const real = await sandboxImage(base);
    try {
      // What locale-gen of Debian does with its list, without the 200 MB of locale sources.
      real.root.write(
        "/usr/sbin/locale-gen",
        "#!/bin/sh\nset -e\nmkdir -p /usr/lib/locale\ncat /etc/locale.gen > /usr/lib/locale/generated\necho Generation complete.\n",
        { mode: 0o755 },
      );
      real.root.write("/usr/share/i18n/SUPPORTED", "de_DE.UTF-8 UTF-8\nde_DE ISO-8859-1\nfr_FR.UTF-8 UTF-8\n");
      real.root.write("/etc/locale.gen", "# none\nfr_FR.UTF-8 UTF-8\n");
      await real.run(system, { locale: "de_DE.UTF-8", locales: ["fr_FR.UTF-8", "C.UTF-8", "de_DE"] });
      expect(real.root.readText("/usr/lib/locale/generated")).toBe("# none\nfr_FR.UTF-8 UTF-8\nde_DE.UTF-8 UTF-8\nde_DE ISO-8859-1\n");
      expect(real.root.readText("/etc/default/locale")).toBe("LANG=de_DE.UTF-8\n");
      expect(real.lines).toContain("Generation complete.");
    } finally {
      await real.dispose();
    }
  });
});
