import { spawnSync } from "node:child_process";

/** As environment variables name them. */
export type Proxies = Readonly<Partial<Record<"http_proxy" | "https_proxy" | "no_proxy", string>>>;

type Environment = Readonly<Record<string, string | undefined>>;

/** Which proxies to use: those of the environment, else those that the host's apt is set up with. */
export function hostProxies(environment: Environment): Proxies {
  const named = (name: keyof Proxies): string | undefined => environment[name] ?? environment[name.toUpperCase()];
  const proxies = {
    http_proxy: named("http_proxy") ?? aptProxy("http"),
    https_proxy: named("https_proxy") ?? aptProxy("https") ?? aptProxy("http"),
    no_proxy: named("no_proxy"),
  };
  return Object.fromEntries(Object.entries(proxies).filter(([, value]) => value !== undefined && value !== ""));
}

function aptProxy(scheme: "http" | "https"): string | undefined {
  const result = spawnSync("apt-config", ["shell", "PROXY", `Acquire::${scheme}::Proxy`], { encoding: "utf8" });
  const [, value] = /^PROXY='(.*)'$/m.exec(result.status === 0 ? result.stdout : "") ?? [];
  return value === undefined || value === "" || value === "DIRECT" ? undefined : value;
}
