import { describe, expect, test } from "vitest";
import { dpkgCommand, dpkgFailure, isIdleAtFirst } from "./dpkg-script.ts";
import { SHIMS } from "./shims/index.ts";

describe("a preinst that does nothing at first", () => {
  const head = "#!/bin/sh\nset -e\n# Automatically added by dh_installdeb/13.11.4\n";
  test.each([
    ["nothing", head],
    [
      "helpers",
      `${head}dpkg-maintscript-helper rm_conffile /etc/a 1.0\\~ -- "$@"\ndpkg-maintscript-helper dir_to_symlink /a ../b 2022g-1\\~ pack -- "$@"\nexit 0\n`,
    ],
    ["a helper on two lines", `${head}dpkg-maintscript-helper mv_conffile /etc/a \\\n  /etc/b 1.0 -- "$@"\n`],
    [
      "debhelper's init block",
      `${head}if [ "$1" = "install" ] && [ -n "$2" ] && [ -e "/etc/init.d/x" ] ; then\n\tchmod +x "/etc/init.d/x" >/dev/null || true\nfi\n`,
    ],
    [
      "debhelper's systemd block",
      `${head}if [ -z "\${DPKG_ROOT:-}" ] && [ "$1" = upgrade ] && [ -d /run/systemd/system ] ; then\n\tdeb-systemd-invoke stop x\nfi\n`,
    ],
  ])("%s", (_, script) => expect(isIdleAtFirst(script)).toBe(true));

  test.each([
    ["a command", `${head}mkdir -p /etc/a\n`],
    ["a command after a helper", `${head}dpkg-maintscript-helper rm_conffile /etc/a 1.0 -- "$@"; touch /x\n`],
    ["a command inside a helper's words", `${head}dpkg-maintscript-helper rm_conffile $(touch /x) 1.0 -- "$@"\n`],
    ["another helper", `${head}dpkg-maintscript-helper supports rm_conffile\n`],
    ["a helper without the script's arguments", `${head}dpkg-maintscript-helper rm_conffile /etc/a 1.0 -- install 0.9\n`],
    ["an alternative in the condition", `${head}if [ "$1" = upgrade ] || [ "$1" = install ]; then\n touch /x\nfi\n`],
    ["a condition that holds", `${head}if [ "$1" = install ]; then\n touch /x\nfi\n`],
    ["the other branch", `${head}if [ -n "$2" ]; then\n :\nelse\n touch /x\nfi\n`],
    ["a branch with another condition", `${head}if [ -n "$2" ]; then\n :\nelif true; then\n touch /x\nfi\n`],
    ["what comes after the block", `${head}if [ -n "$2" ]; then\n :\nfi\ntouch /x\n`],
    ["a command in the condition", `${head}if [ -n "$2" ] && touch /x; then\n :\nfi\n`],
    ["a command inside the condition", `${head}if [ -n "$2" ] && [ -e "$(touch /x)" ]; then\n :\nfi\n`],
    ["a comment that seems to go on", `${head}# a comment \\\ntouch /x\n`],
    ["not set -e but exec", "#!/bin/sh\nexec touch /x\n"],
    ["another language", "#!/usr/bin/perl\nmkdir '/x';\n"],
  ])("but not with %s", (_, script) => expect(isIdleAtFirst(script)).toBe(false));
});

describe("a failed run", () => {
  const lines = [
    "Setting up good (1.0) ...",
    "all is well",
    "Setting up bad:amd64 (2.0) ...",
    "cannot reach the moon",
    "dpkg: error processing package bad:amd64 (--configure):",
    " installed bad:amd64 package post-installation script subprocess returned error exit status 3",
    "dpkg: dependency problems prevent configuration of waits:",
    " waits depends on bad; however:",
    "dpkg: error processing package waits (--configure):",
    " dependency problems - leaving unconfigured",
    "Errors were encountered while processing:",
    " bad:amd64",
    " waits",
  ];
  test("names the first package, what it said, and who waits for it", () => {
    const error = dpkgFailure(lines, { exitCode: 1 });
    expect(error.code).toBe("STEP_FAILED");
    expect(error.message).toBe(
      "bad: installed bad:amd64 package post-installation script subprocess returned error exit status 3\n  | cannot reach the moon\n  and waits, which waits for it or failed after it",
    );
    expect(error.help.details).toEqual({ packages: ["bad", "waits"] });
  });
  test("of an archive is named by the package", () => {
    const archive = [
      "Preparing to unpack .../x ...",
      "dpkg: error processing archive /run/p/lib+x_1%3a2.0-1_amd64.deb (--unpack):",
      " trying to overwrite '/a', which is also in package b 1",
    ];
    expect(dpkgFailure(archive, { exitCode: 1 }).message).toBe("lib+x: trying to overwrite '/a', which is also in package b 1");
  });
  test("without a word of a package shows what there is", () => {
    expect(dpkgFailure(["dpkg: unrecoverable fatal error, aborting:", " disk full"], { exitCode: 2 }).message).toBe(
      "dpkg ended with exit code 2\n  | dpkg: unrecoverable fatal error, aborting:\n  |  disk full",
    );
    expect(dpkgFailure([], { exitCode: 137, signal: "SIGKILL" }).message).toBe("dpkg ended with SIGKILL");
  });
});

describe("a run", () => {
  test("quotes what it names", () => {
    const { argv } = dpkgCommand([{ kind: "unpack", files: ["/run/a b_1%3a2_all.deb", "/run/it's.deb"] }, { kind: "configure" }], "plain");
    expect(argv[3]).toContain(String.raw`--unpack -- '/run/a b_1%3a2_all.deb' '/run/it'\''s.deb'`);
  });
  test("keeps host keys out in either way, and saves time in one", () => {
    const names = (way: "fast" | "plain") =>
      dpkgCommand([{ kind: "configure" }], way).memoryFiles.map((file) => file.path.split("/").at(-1));
    expect(names("plain")).toEqual(["ssh-keygen", "start-stop-daemon", "awk"]);
    expect(names("fast")).toEqual(SHIMS.map((shim) => shim.name));
  });
});
