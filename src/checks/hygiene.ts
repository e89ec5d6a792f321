import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import { globProblem } from "../core/glob.ts";
import { failed, passed } from "./lib/answers.ts";
import { FINDINGS, findingsIn, pathMatcher, SETUID_OF_DEBIAN, type Finding, type FindingKind } from "./lib/findings.ts";

const KINDS = Object.keys(FINDINGS) as [FindingKind, ...FindingKind[]];

const glob = () =>
  z.string().superRefine((text, context) => {
    const message = text.startsWith("/") ? globProblem(text) : `${JSON.stringify(text)} is not absolute: write it as /srv/shop/**`;
    if (message !== undefined) context.addIssue({ code: "custom", message, input: text });
  });

const options = z.strictObject({
  skip: z.array(z.enum(KINDS)).default([]).describe("Kinds of findings that are not looked for"),
  except: z.array(glob()).default([]).describe("Paths, with * and **, about which nothing is said"),
  setuid: z.array(glob()).default([]).describe("Setuid and setgid programs that are meant, besides those that Debian brings"),
});

/** Most findings that an answer lists; the rest is counted. */
const MOST_FINDINGS = 200;

/** Looks for what no image should hold. */
export const hygiene = defineCheck({
  id: "hygiene",
  version: 1,
  summary: "The image holds nothing that belongs to one machine, to the bake, or to nobody",
  description: `Reads the whole tree of the image and reports, each with path and remedy:

| Kind | What is found |
|---|---|
| \`private-key\` | PEM and OpenSSH private keys in files that no package brought or that lie outside of /usr; stores of keys by name |
| \`authorized-keys\` | keys that may log in |
| \`host-key\`, \`machine-id\`, \`random-seed\` | what makes a machine this machine |
| \`shell-history\` | histories of shells and consoles |
| \`cloud-init-state\` | what cloud-init keeps of one machine |
| \`package-cache\` | downloaded packages, lists and caches of apt, caches of root and users |
| \`left-behind\` | \`policy-rc.d\`, a \`resolv.conf\` with name servers |
| \`secret\` | secrets of the bake, plain or encoded, where their values are given on the machine that checks |
| \`world-writable\` | files that everybody may write to; directories without the sticky bit |
| \`unowned\` | files of users or groups that the image does not have |
| \`setuid\` | programs with setuid or setgid that are neither Debian's nor named here |
| \`password\` | accounts with a password, which is the same on every machine, or with none |`,
  examples: [
    `- hygiene:`,
    `- hygiene:
    setuid: [/usr/bin/ping]
    except: [/srv/shop/test-keys/**]`,
  ],
  options,
  platform: "tree",
  needs: ["tree", "secrets"],
  defaults: { retries: 0, intervalMs: 0, timeoutMs: 120_000 },
  async run({ options: { skip, except, setuid }, tree, secrets }) {
    const isExcepted = pathMatcher(except);
    const inSecrets = skip.includes("secret") || secrets.names.length === 0 ? [] : await secrets.findIn(tree.hostPath);
    const found = [
      ...findingsIn(tree, [...SETUID_OF_DEBIAN, ...setuid]),
      ...inSecrets.map((hit): Finding => ({ kind: "secret", path: hit.path, detail: `holds the secret "${hit.secret}", ${hit.form}` })),
    ].filter(({ kind, path }) => !skip.includes(kind) && !isExcepted(path));
    const notGiven = skip.includes("secret") ? [] : secrets.missing;
    const answered = {
      entries: tree.entries().length,
      findings: found.slice(0, MOST_FINDINGS).map((one) => ({ ...one, remedy: FINDINGS[one.kind] })),
      found: found.length,
      secretsNotGiven: notGiven,
    };
    const [first] = found;
    const unseen = notGiven.length === 0 ? "" : `; not looked for, as their values are not given here: ${notGiven.join(", ")}`;
    if (first === undefined) return passed(`nothing among ${tree.entries().length} files and folders${unseen}`, { answered });
    return failed(`${found.length === 1 ? "" : `${found.length} findings: `}${summaryOf(found)}${unseen}`, {
      answered,
      excerpt: found.slice(0, MOST_FINDINGS).map(({ kind, path, detail }) => `${kind}: ${path} ${detail}`),
      remedy: `${first.path}: ${FINDINGS[first.kind]}`,
    });
  },
  selfTest: {
    sound: { options: { skip: KINDS.filter((kind) => kind !== "private-key"), except: [] } },
    faulty: {
      options: { skip: KINDS.filter((kind) => kind !== "private-key"), except: [] },
      files: [{ path: "/srv/bakehouse-self-test.pem", content: selfTestKey(), mode: 0o600 }],
    },
  },
});

/** `3 × world-writable, machine-id (/etc/machine-id)` */
function summaryOf(found: readonly Finding[]): string {
  const kinds = [...new Set(found.map(({ kind }) => kind))];
  return kinds
    .map((kind) => {
      const all = found.filter((one) => one.kind === kind);
      return all.length === 1 ? `${kind} (${all[0]?.path ?? ""})` : `${all.length} × ${kind}`;
    })
    .join(", ");
}

/** Nobody's key: the right words around the wrong bytes, and in two parts, so that no scanner takes this file for one. */
function selfTestKey(): string {
  const words = ["PRIVATE", "KEY-----"].join(" ");
  return `-----BEGIN ${words}\n${"QmFrZWhvdXNl".repeat(5)}\n-----END ${words}\n`;
}
