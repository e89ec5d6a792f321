import { z } from "zod";
import type { Sha256 } from "../core/digest.ts";
import { defineStep } from "../core/step.ts";
import { baseName, cleanPath, matching, mode, owner, parseMode, targetOrFolder } from "./lib/options.ts";
import { resolveOwner } from "./lib/owner.ts";
import { ownerAtLaunch, quote, words } from "./lib/shell.ts";
import { inImage, stepFailed } from "./lib/step-error.ts";

/** More leading folders than any release archive has (a guess). */
const MAX_STRIP = 20;

const url = matching(/^https?:\/\/[^\s/?#]+\/\S*$/, "is no address of a file that starts with http:// or https://").refine(
  (text) => !/^https?:\/\/[^/]*@/.test(text),
  "must not hold a user name or password",
);

const options = z
  .strictObject({
    url: url.describe("Where to get it; looked up once and kept in the store by its SHA-256"),
    sha256: matching(/^(?:sha256:)?[0-9a-f]{64}$/, "is no SHA-256: write the 64 hex digits that `sha256sum FILE` prints").describe(
      "SHA-256 of the file; the only thing that says what it is",
    ),
    to: targetOrFolder().describe("Where it goes. With / at the end, or with `unpack`: the folder it goes into"),
    unpack: z.boolean().default(false).describe("Unpacks a tarball (plain, gzip, xz or zstd) into `to`"),
    strip: z.int().min(0).max(MAX_STRIP).optional().describe("Leading folders of the tarball's names to drop"),
    owner: owner().optional().describe('Owner, such as "app" or "app:www-data"; root if absent'),
    mode: mode().optional().describe('Mode of the file, such as "0755"; "0644" if absent'),
  })
  .refine((value) => value.strip === undefined || value.unpack, { message: "only means something together with unpack", path: ["strip"] })
  .refine((value) => value.mode === undefined || !value.unpack, {
    message: "an unpacked tarball has the modes of its own",
    path: ["mode"],
  });

type Options = z.output<typeof options>;

const digestOf = (value: Options): Sha256 => `sha256:${value.sha256.replace(/^sha256:/, "")}`;

/** Brings something that no package manager has. */
export const fetch = defineStep({
  id: "fetch",
  version: 1,
  role: "provision",
  summary: "Put a file from the network into the image, by URL and SHA-256",
  description: `For what no package brings: a single binary, a vendor's tarball. The SHA-256 decides what it is, the URL only where to ask for it: once the bytes are
in the store, no bake asks again, and another URL for the same bytes is the same input. Bytes that do not match are refused before the image sees them.

With \`unpack\`, a tarball whose names would lead out of \`to\`, or that holds devices, is refused as a whole.`,
  examples: [
    `- fetch:
    url: https://downloads.example.org/tool/2.4.1/tool-linux-amd64
    sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    to: /usr/local/bin/tool
    mode: "0755"`,
    `- fetch:
    url: https://downloads.example.org/app-9.1.tar.gz
    sha256: fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9
    to: /opt/app
    unpack: true
    strip: 1
    owner: app`,
  ],
  options,
  needs: ["root", "downloads", "archives"],
  requires: (value) => ({ downloads: [{ url: value.url, sha256: digestOf(value) }] }),
  async run({ root, downloads, archives, options: value, address, log }) {
    const file = downloads.file(digestOf(value));
    const ids = value.owner === undefined ? undefined : resolveOwner(root, address, value.owner);
    if (value.unpack) {
      inImage(address, () => {
        if (root.stat(value.to) === undefined) root.makeDirectory(value.to, ids);
      });
      await archives.unpack(file, {
        into: cleanPath(value.to),
        ...(value.strip === undefined ? {} : { strip: value.strip }),
        ...(ids === undefined ? {} : { owner: ids }),
      });
      return log(`unpacked ${value.url} into ${value.to}`);
    }
    const target = targetOf(value);
    if (root.stat(target)?.kind === "directory")
      throw stepFailed(address, `${target} is a directory in the image`, { hint: `write \`to: ${target}/\` to put the file into it` });
    inImage(address, () => root.copyFile(file, target, { ...ids, mode: parseMode(value.mode ?? "0644") }));
    log(`put ${value.url} at ${target}`);
  },
  atLaunch: (value) => ({ script: launchScript(value) }),
});

const targetOf = (value: Options): string =>
  value.to.endsWith("/") ? `${cleanPath(value.to)}/${baseName(new URL(value.url).pathname)}`.replace("//", "/") : value.to;

function launchScript(value: Options): string {
  const owned = value.owner === undefined ? "root:root" : ownerAtLaunch(value.owner);
  const place = value.unpack
    ? [
        words("mkdir", "-p", value.to),
        `tar -xf "$download" -C ${quote(value.to)} --no-same-owner --strip-components=${value.strip ?? 0}`,
        ...(value.owner === undefined ? [] : [words("chown", "-hR", owned, value.to)]),
      ]
    : [
        `mkdir -p "$(dirname ${quote(targetOf(value))})"`,
        `chown ${quote(owned)} "$download"`,
        `chmod ${value.mode ?? "0644"} "$download"`,
        `cp -p --remove-destination "$download" ${quote(targetOf(value))}`,
      ];
  return [
    "download=$(mktemp)",
    `curl --fail --silent --show-error --location --retry 3 --output "$download" ${quote(value.url)}`,
    `echo ${quote(`${digestOf(value).slice("sha256:".length)}  `)}"$download" | sha256sum --check --status`,
    ...place,
    'rm -f "$download"',
  ].join("\n");
}
