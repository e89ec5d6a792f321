// Asks a URL without a pause, with a new connection each time, until it gets SIGTERM; then prints how often each answer came.
import { get } from "node:http";

const [url] = process.argv.slice(2);
const answers = new Map();
let firstBad;
let goesOn = true;
process.once("SIGTERM", () => (goesOn = false));

const ask = () =>
  new Promise((resolve) => {
    const request = get(url, { agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (part) => (body += part));
      response.once("end", () => resolve(`${response.statusCode} ${/"version": "([^"]+)"/.exec(body)?.[1] ?? ""}`.trim()));
      response.once("error", (error) => resolve(error.code ?? error.message));
    });
    request.once("error", (error) => resolve(error.code ?? error.message));
  });

const lane = async () => {
  while (goesOn) {
    const answer = await ask();
    if (!answer.startsWith("200 ")) firstBad ??= new Date().toISOString();
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
  }
};
await Promise.all([lane(), lane()]);
const total = [...answers.values()].reduce((sum, count) => sum + count, 0);
console.log(`${total} requests${firstBad === undefined ? ", none failed" : `, the first that failed at ${firstBad}`}:`);
for (const [answer, count] of [...answers].sort(([, a], [, b]) => b - a)) console.log(`  ${String(count).padStart(7)} × ${answer}`);
