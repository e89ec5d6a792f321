import { describe, expect, it } from "vitest";
import { steps } from "../../steps/registry.ts";
import { parseRecipe } from "./parse-recipe.ts";

const parse = (fleets: string) =>
  parseRecipe({
    text: `name: shop
layers:
  release: { steps: [{ debian: { suite: bookworm } }] }
fleets:
${fleets}
`,
    file: "/r/bakehouse.yaml",
    folder: "/r",
    shownAs: "bakehouse.yaml",
    steps,
  });

const told = (fleets: string) =>
  parse(fleets).problems.map(
    (problem) => `${problem.line}:${problem.column}: ${problem.message}${problem.hint === undefined ? "" : ` (${problem.hint})`}`,
  );

const KEY = `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${"B".repeat(43)}`;
const host = (name: string, address: string, more = ""): string => `{ name: ${name}, address: ${address}, hostKey: ${KEY}${more} }`;
/** A fleet of two hosts, with what is wrong put in. */
const fleet = (more: string, hosts = `${host("w-1", "10.0.0.11")}, ${host("w-2", "10.0.0.12")}`): string =>
  `  web: { provider: ssh, pinned: a, identity: k, health: { tcp: 80 }, hosts: [${hosts}], ${more} }`;

describe("fleets of own machines", () => {
  it("have what is left out filled in", () => {
    const { recipe, problems } = parse(fleet("", `${host("w-1", "web.example")}, ${host("w-2", "10.0.0.12", ", zone: b")}`));
    expect(problems).toEqual([]);
    expect(recipe?.fleets).toEqual([
      {
        name: "web",
        provider: "ssh",
        size: 2,
        zones: ["local", "b"],
        runs: { pinned: "a" },
        health: { probe: { kind: "tcp", port: 80 }, intervalMs: 2000, timeoutMs: 2000, healthyAfter: 2, unhealthyAfter: 3 },
        hosts: [
          { name: "w-1", address: "web.example", port: 22, user: "root", zone: "local", hostKey: KEY, labels: {} },
          { name: "w-2", address: "10.0.0.12", port: 22, user: "root", zone: "b", hostKey: KEY, labels: {} },
        ],
        identity: "k",
        root: "/var/lib/bakehouse",
        launch: { files: {}, credentials: {}, environment: {} },
        first: [],
        neverFirst: [],
        freeze: [],
        windows: [],
        newRelease: "refuse",
        secrets: [],
      },
    ]);
  });

  it("are read whole", () => {
    const { recipe, problems } = parse(`  web:
    description: Our own
    provider: ssh
    size: 1
    pinned: shop/release-volume
    identity: keys/deploy
    root: /srv/bakehouse
    health: { http: /health }
    traffic: { drain: [lb, "out"], admit: [lb, in] }
    hosts:
      - name: w-1
        address: 2001:db8::11
        port: 2222
        user: deploy
        zone: a
        hostKey: ${KEY} root@w-1
        labels: { rack: r1 }`);
    expect(problems).toEqual([]);
    expect(recipe?.fleets).toMatchObject([
      {
        description: "Our own",
        size: 1,
        zones: ["a"],
        identity: "keys/deploy",
        root: "/srv/bakehouse",
        hooks: { drain: ["lb", "out"], admit: ["lb", "in"] },
        hosts: [{ address: "2001:db8::11", port: 2222, user: "deploy", hostKey: `${KEY} root@w-1`, labels: { rack: "r1" } }],
      },
    ]);
  });

  it("tell every mistake at once, each with its place", () => {
    expect(
      told(`  web:
    provider: ssh
    idenity: k
    pinned: a
    health: { tcp: 0 }
    launch: { files: {} }
    root: var/lib
    hosts:
      - { name: W, address: 10.0.0.11, hostKey: ${KEY} }
      - { name: w-2, addres: x, hostKey: ssh-rsa AAAAC3NzaC1lZDI1NTE5 }
      - { name: w-3, address: -oProxyCommand=x, port: 70000 }`),
    ).toEqual(
      expect.arrayContaining([
        '7:5: fleets.web: unknown key "idenity" (did you mean "identity"?)',
        expect.stringMatching(/^9:20: fleets\.web\.health\.tcp/) as string,
        expect.stringMatching(/^10:5: fleets\.web: unknown key "launch"/) as string,
        expect.stringMatching(/^11:11: fleets\.web\.root: .*must be an absolute path/) as string,
        expect.stringMatching(/^13:17: fleets\.web\.hosts\[0\]\.name: .*lower-case/) as string,
        '14:22: fleets.web.hosts[1]: unknown key "addres" (did you mean "address"?)',
        expect.stringMatching(/^14:42: fleets\.web\.hosts\[1\]\.hostKey: .*must be the host's public key/) as string,
        expect.stringMatching(/^15:31: fleets\.web\.hosts\[2\]\.address: .*must be a host name/) as string,
        expect.stringMatching(/^15:55: fleets\.web\.hosts\[2\]\.port/) as string,
        expect.stringMatching(/^15:9: fleets\.web\.hosts\[2\]: "hostKey" is missing/) as string,
      ]),
    );
  });

  it.each([
    [fleet("size: 3"), "fleets.web.size: is 3, and there are 2 hosts (leave it out)"],
    [fleet("zones: [a]"), 'unknown key "zones"'],
    [fleet("traffic: { listen: 80, backend: 80 }"), "traffic"],
    [fleet("", ""), "fleets.web.hosts: needs at least one host"],
    [fleet("", `${host("w", "h")}, ${host("w", "i")}`), 'fleets.web.hosts[1].name: there is a host "w" already'],
    [fleet("", `${host("v", "h")}, ${host("w", "h")}`), 'fleets.web.hosts[1].address: this is the address of "v"'],
    [`${fleet("")}\n${fleet("").replace("web", "two")}`, 'fleets.two.hosts[0].address: fleet "web" has 10.0.0.11:22 already'],
    [`  web: { size: 1, pinned: a, health: { tcp: 80 }, hosts: [] }`, 'unknown key "hosts"'],
  ])("tells what is wrong with %j", (fleets, message) => {
    expect(told(fleets).join("\n")).toContain(message);
  });
});
