import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { BakehouseError } from "../../core/errors.ts";

/** `8080:80`, or `80` for the same on both sides. @throws USAGE with every mistake */
export function parsePublish(given: readonly string[]): readonly { readonly hostPort: number; readonly cellPort: number }[] {
  const parsed = given.map((text) => {
    const [, host = "", cell = host] = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(text) ?? [];
    return { text, hostPort: Number(host), cellPort: Number(cell) };
  });
  const wrong = parsed.filter(({ hostPort, cellPort }) => !isPort(hostPort) || !isPort(cellPort)).map(({ text }) => JSON.stringify(text));
  if (wrong.length > 0)
    throw new BakehouseError("USAGE", `--publish takes two ports from 1 to 65535, such as 8080:80, and not ${wrong.join(", ")}`, {
      hint: "first the port of this machine, then the cell's",
    });
  const twice = parsed.find(({ hostPort }, index) => parsed.findIndex((other) => other.hostPort === hostPort) !== index);
  if (twice !== undefined) throw new BakehouseError("USAGE", `--publish names port ${twice.hostPort} of this machine twice`, {});
  return parsed.map(({ hostPort, cellPort }) => ({ hostPort, cellPort }));
}

const isPort = (port: number): boolean => port >= 1 && port <= 65_535;

/** `/path=content`, `/path=@file`. @throws USAGE */
export function parseFiles(given: readonly string[], folder: string): Readonly<Record<string, string | Uint8Array>> {
  return Object.fromEntries(
    given.map((text) => {
      const [, path, content = ""] = /^(\/[^=]+)=([\s\S]*)$/.exec(text) ?? [];
      if (path === undefined || path.split("/").includes(".."))
        throw new BakehouseError("USAGE", `--file takes an absolute path and a content, and not ${JSON.stringify(text)}`, {
          hint: "--file /etc/shop.conf=colour=blue, or --file /etc/shop.conf=@shop.conf",
        });
      return [path, content.startsWith("@") ? readHostFile(resolve(folder, content.slice(1)), text) : content];
    }),
  );
}

function readHostFile(path: string, text: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new BakehouseError(
      "INPUT_INVALID",
      `--file ${text}: ${(error as Error).message}`,
      { hint: "name a file that can be read" },
      error,
    );
  }
}
