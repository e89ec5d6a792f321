import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { askedCells, unitFiles, type AskedCells } from "../../test/checks/asked-cell.ts";
import { refusals } from "../../test/checks/asked-tree.ts";
import { http } from "./http.ts";

let asked: AskedCells;
beforeAll(async () => void (asked = await askedCells()));
afterAll(() => asked?.dispose());

test.each([["/health"], [{ path: "/a?b=c", status: [200, 204], header: { server: "nginx" } }], [{ stable: {} }]])("%j is fine", (options) =>
  expect(refusals(http, options)).toEqual([]),
);
test.each([["health"], [{ port: 0 }], [{ status: 99 }], [{ matches: "[" }], [{ stable: { answers: 1 } }], [{ url: "/" }]])(
  "%j is refused",
  (options) => expect(refusals(http, options).length).toBeGreaterThan(0),
);

describe("a machine that serves", () => {
  test.each([
    [{ path: "/", status: [200, 204], contains: "Three cakes", matches: "^<", header: { "content-type": "text/html" } }],
    [{ path: "/nothing", status: 404 }],
    [{ stable: { answers: 4, over: "200ms" } }],
  ])("%j passes", async (options) => {
    const cell = await asked.start();
    const result = await asked.ask(cell, http, options, { retries: 200 });
    expect(result, result.summary).toMatchObject({ verdict: "passed" });
  });

  test("and gives another answer fails, with what it answered", async () => {
    const cell = await asked.start();
    expect(await asked.ask(cell, http, "/", { retries: 200 })).toMatchObject({ verdict: "passed" });
    expect(await asked.ask(cell, http, "/nothing")).toMatchObject({ verdict: "failed", summary: "/nothing answers 404, not 200" });
    expect(await asked.ask(cell, http, { contains: "four cakes" })).toMatchObject({ verdict: "failed", answered: { status: 200 } });
    expect((await asked.ask(cell, http, { header: { "x-shop": "1" } })).summary).toContain("header x-shop");
    const silent = await asked.ask(cell, http, { port: 81 });
    expect(silent.verdict).toBe("failed");
    expect(silent.summary).toContain("nothing answers on port 81");
  });
});

/** A server of systemd and sh: each connection runs the script, `n` is its number. */
const server = (script: string): Readonly<Record<string, string>> => ({
  "/etc/answer.sh": `n=$(cat /run/n 2>/dev/null || echo 0); echo $((n + 1)) > /run/n
while read -r line && [ "\${#line}" -gt 1 ]; do :; done
answer() { printf "HTTP/1.0 $1\\r\\nContent-Length: 2\\r\\n\\r\\nok"; }
${script}
`,
  "/etc/systemd/system/a@.service": "[Service]\nExecStart=-/bin/sh /etc/answer.sh\nStandardInput=socket\n",
  "/etc/systemd/system/a.socket": "[Socket]\nListenStream=8080\nAccept=yes\nTriggerLimitBurst=0\n",
  "/etc/systemd/system/multi-user.target.d/a.conf": "[Unit]\nWants=a.socket\n",
});
const stable = { port: 8080, stable: { answers: 6, over: "300ms" } };

test("health that flaps is inconclusive, at once: trying until it is right would prove nothing", async () => {
  const cell = await asked.start(server('[ $((n % 2)) = 0 ] && answer "200 OK" || answer "503 Busy"'));
  const result = await asked.ask(cell, http, stable, { retries: 50 });
  expect(result).toMatchObject({ verdict: "inconclusive", attempts: 1, answered: { right: 3 } });
  expect(result.summary).toBe("/ flaps: 3 of 6 answers are right, then: / answers 503, not 200");
});

test("health that stops fails", async () => {
  const cell = await asked.start(server('[ $n -lt 3 ] && answer "200 OK" || answer "503 Gone"'));
  expect(await asked.ask(cell, http, stable)).toMatchObject({ verdict: "failed", answered: { right: 3 } });
});

test("a server that takes the question and never answers is an error after its time", async () => {
  const cell = await asked.start(unitFiles("mute.service", "ExecStart=/bin/true"));
  const mute = await asked.start(server("sleep 1000"));
  expect(await asked.ask(mute, http, { port: 8080 }, { timeoutMs: 500 })).toMatchObject({
    verdict: "error",
    summary: "no answer within 500 ms",
  });
  expect(cell.isAlive()).toBe(true);
});
