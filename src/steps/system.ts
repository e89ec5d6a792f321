import { z } from "zod";
import { suggestion } from "../core/text/did-you-mean.ts";
import { defineStep } from "../core/step.ts";
import type { StepContext } from "../core/step.ts";
import { linesOf } from "./lib/accounts.ts";
import { matching } from "./lib/options.ts";
import { quote, writeFileAtLaunch } from "./lib/shell.ts";
import { inImage, stepFailed } from "./lib/step-error.ts";

/** hostname(7): letters, digits and hyphens between dots; 64 bytes is what Linux takes. */
const HOST_NAME = /^(?=.{1,64}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;
const LOCALE = /^(?:C|POSIX|[a-z]{2,3}(?:_[A-Z]{2})?)(?:\.[A-Za-z0-9-]+)?(?:@[a-z]+)?$/;
const TIMEZONE = /^[A-Za-z0-9_+-]+(?:\/[A-Za-z0-9_+-]+){0,2}$/;

const locale = () => matching(LOCALE, "is no locale such as C.UTF-8 or de_DE.UTF-8");

const options = z
  .strictObject({
    hostname: matching(HOST_NAME, "is neither a host name in lower case, nor from-dhcp, nor empty")
      .optional()
      .describe(
        "from-dhcp: no name in the image, the network gives one. empty: an empty /etc/hostname, for tools that fill it in. Anything else is the name itself",
      ),
    locale: locale()
      .optional()
      .describe(
        "Language of the system, such as C.UTF-8 or de_DE.UTF-8; one that is not there is generated, which needs the package locales",
      ),
    locales: z.array(locale()).optional().describe("Further locales to generate"),
    timezone: matching(TIMEZONE, "is no time zone such as Europe/Berlin or UTC")
      .optional()
      .describe("Time zone, such as Europe/Berlin; needs the package tzdata"),
  })
  .refine((value) => Object.keys(value).length > 0, "needs at least one of hostname, locale, locales, timezone");

type Options = z.output<typeof options>;
type Context = StepContext<Options, "root" | "sandbox">;

/** What the machine is called, which language it speaks and what its clocks show. */
export const system = defineStep({
  id: "system",
  version: 1,
  role: "provision",
  summary: "Set host name policy, locale and time zone",
  description: `What of these is left out stays as the layers below have it.

- **hostname**: an image is started many times, so a fixed name is seldom right. \`from-dhcp\` takes the name out, so that every machine takes the one its
  network gives. A fixed name is written to \`/etc/hostname\`, and to \`/etc/hosts\` as 127.0.1.1.
- **locale** becomes \`LANG\` of the whole system. \`C.UTF-8\` is always there; others are generated with \`locale-gen\`, inside the sandbox.
- **timezone** makes the link \`/etc/localtime\` and writes \`/etc/timezone\`. Steps themselves always run in UTC.`,
  examples: [
    `- system:
    hostname: from-dhcp
    locale: C.UTF-8
    timezone: UTC`,
    `- system: { locale: de_DE.UTF-8, locales: [fr_FR.UTF-8], timezone: Europe/Berlin }`,
  ],
  options,
  needs: ["root", "sandbox"],
  async run(context) {
    const { options: value, address } = context;
    inImage(address, () => checkTimezone(context));
    await generateLocales(context);
    inImage(address, () => {
      if (value.hostname !== undefined) setHostname(context, value.hostname);
      if (value.locale !== undefined) setLocale(context, value.locale);
      if (value.timezone !== undefined) setTimezone(context, value.timezone);
    });
  },
  atLaunch: (value) => ({ script: launchScript(value) }),
});

function setHostname({ root }: Context, name: string): void {
  const hosts = linesOf(root, "/etc/hosts").filter((line) => !/^127\.0\.1\.1\s/.test(line));
  const hadHosts = root.stat("/etc/hosts") !== undefined;
  if (name === "from-dhcp") root.remove("/etc/hostname");
  else root.write("/etc/hostname", name === "empty" ? "" : `${name}\n`);
  const isFixed = name !== "from-dhcp" && name !== "empty";
  const base = hadHosts ? hosts : ["127.0.0.1\tlocalhost", "::1\t\tlocalhost ip6-localhost ip6-loopback"];
  const own = isFixed ? [`127.0.1.1\t${hostAliases(name)}`] : [];
  const lines = hadHosts || isFixed ? [...base.slice(0, 1), ...own, ...base.slice(1)] : [];
  if (lines.length > 0) root.write("/etc/hosts", lines.map((line) => `${line}\n`).join(""));
}

/** `web.example.org web` */
const hostAliases = (name: string): string => (name.includes(".") ? `${name} ${name.slice(0, name.indexOf("."))}` : name);

/** Debian 12 reads /etc/default/locale, Debian 13 /etc/locale.conf (with the other one as a link to it). */
function setLocale({ root }: Context, name: string): void {
  const text = `LANG=${name}\n`;
  const isLink = root.readLink("/etc/default/locale") !== undefined;
  if (!isLink) root.write("/etc/default/locale", text);
  if (isLink || root.stat("/etc/locale.conf") !== undefined) root.write("/etc/locale.conf", text);
}

const ZONES = "/usr/share/zoneinfo";

function checkTimezone({ root, address, options: { timezone } }: Context): void {
  if (timezone === undefined || root.stat(`${ZONES}/${timezone}`)?.kind === "file") return;
  if (root.stat(ZONES) === undefined) {
    if (timezone === "UTC") return;
    throw stepFailed(address, `time zone ${timezone} is not in the image, which has none at all`, {
      hint: "install tzdata with an `apt` step before this one",
    });
  }
  const [area = "", city = ""] = timezone.split("/");
  const inArea = root.list(`${ZONES}/${area}`.replace(/\/$/, "")).map((name) => `${area}/${name}`);
  const guess = suggestion(timezone, city === "" || inArea.length === 0 ? root.list(ZONES) : inArea, "zones");
  throw stepFailed(address, `the image has no time zone ${timezone}`, {
    hint: [guess, "in Debian 13 the old names are in the package tzdata-legacy"].filter((part) => part !== undefined).join("; "),
  });
}

function setTimezone({ root }: Context, zone: string): void {
  root.symlink("/etc/localtime", `${ZONES}/${zone}`);
  root.write("/etc/timezone", `${zone}\n`);
}

/** Always there, built into the C library or shipped in libc-bin. */
const BUILT_IN = /^(?:C|POSIX)(?:\.(?:UTF-8|utf8))?$/;

async function generateLocales(context: Context): Promise<void> {
  const { root, sandbox, address, options: value } = context;
  const wanted = [...new Set([...(value.locale === undefined ? [] : [value.locale]), ...(value.locales ?? [])])].filter(
    (name) => !BUILT_IN.test(name),
  );
  if (wanted.length === 0) return;
  if (root.stat("/usr/sbin/locale-gen") === undefined) {
    throw stepFailed(address, `generating ${wanted.join(", ")} needs locale-gen, which the image lacks`, {
      hint: "install the package `locales` with an `apt` step before this one, or use C.UTF-8",
    });
  }
  const lines = inImage(address, () => wanted.map((name) => supportedLine(context, name)));
  const present = linesOf(root, "/etc/locale.gen");
  const missing = lines.filter((line) => !present.includes(line));
  if (missing.length > 0) root.write("/etc/locale.gen", [...present, ...missing].map((line) => `${line}\n`).join(""));
  await sandbox.check({ argv: ["/usr/sbin/locale-gen"], onLine: (line) => context.log(line) });
}

/** `de_DE.UTF-8 UTF-8`, as the package's list of what it can generate has it. */
function supportedLine({ root, address }: Context, name: string): string {
  const supported = linesOf(root, "/usr/share/i18n/SUPPORTED");
  const line = supported.find((one) => one.split(" ")[0] === name);
  if (line !== undefined) return line;
  const hint = suggestion(
    name,
    supported.map((one) => one.split(" ")[0] ?? ""),
    "locales",
  );
  throw stepFailed(address, `there is no locale ${name}`, hint === undefined ? {} : { hint });
}

function launchScript(value: Options): string {
  const lines: string[] = [];
  if (value.hostname === "from-dhcp") lines.push("rm -f /etc/hostname", "sed -i '/^127\\.0\\.1\\.1[[:space:]]/d' /etc/hosts");
  else if (value.hostname === "empty") lines.push(": > /etc/hostname");
  else if (value.hostname !== undefined) {
    lines.push(
      writeFileAtLaunch("/etc/hostname", `${value.hostname}\n`),
      `hostname ${quote(value.hostname)}`,
      "sed -i '/^127\\.0\\.1\\.1[[:space:]]/d' /etc/hosts",
      `echo ${quote(`127.0.1.1 ${hostAliases(value.hostname)}`)} >> /etc/hosts`,
    );
  }
  const generate = [...new Set([...(value.locale === undefined ? [] : [value.locale]), ...(value.locales ?? [])])].filter(
    (name) => !BUILT_IN.test(name),
  );
  for (const name of generate) lines.push(`grep ${quote(`^${name} `)} /usr/share/i18n/SUPPORTED >> /etc/locale.gen`);
  if (generate.length > 0) lines.push("locale-gen");
  if (value.locale !== undefined) lines.push("mkdir -p /etc/default", `echo ${quote(`LANG=${value.locale}`)} > /etc/default/locale`);
  if (value.timezone !== undefined)
    lines.push(`ln -sfnT ${quote(`${ZONES}/${value.timezone}`)} /etc/localtime`, `echo ${quote(value.timezone)} > /etc/timezone`);
  return lines.join("\n");
}
