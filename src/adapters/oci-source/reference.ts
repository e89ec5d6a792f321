import { realpathSync } from "node:fs";
import { isAbsolute, relative, resolve } from "node:path";
import { BakehouseError } from "../../core/errors.ts";

export type Reference =
  /** `oci:path[:tag]`; `path` absolute. */
  | { readonly kind: "layout"; readonly path: string; readonly tag: string | undefined }
  /** `docker://host/name:tag`; `name` without tag and digest. */
  | { readonly kind: "registry"; readonly text: string; readonly name: string; readonly host: string };

/** @param folder  the recipe's folder: a layout lies in it @throws BakehouseError INPUT_INVALID */
export function parseReference(text: string, folder: string): Reference {
  if (text.startsWith("docker://")) {
    const rest = text.slice("docker://".length);
    const name = rest.replace(/@.*$/, "").replace(/:[^/:]*$/, "");
    const [host = ""] = rest.split("/");
    return { kind: "registry", text: rest, name, host };
  }
  const layout = /^oci:([^:]+)(?::([^:]+))?$/.exec(text);
  if (layout === null)
    throw new BakehouseError("INPUT_INVALID", `${text} is not an image reference`, {
      hint: 'write "oci:folder[:tag]" or "docker://host/name:tag"',
    });
  return { kind: "layout", path: insideFolder(text, layout[1] ?? "", folder), tag: layout[2] };
}

function insideFolder(text: string, path: string, folder: string): string {
  const base = realpathSync(folder);
  let real: string;
  try {
    real = realpathSync(resolve(base, path));
  } catch (cause) {
    throw new BakehouseError("INPUT_INVALID", `${text}: there is no ${path} beside the recipe`, {}, cause);
  }
  const below = relative(base, real);
  if (below.startsWith("..") || isAbsolute(below))
    throw new BakehouseError("INPUT_INVALID", `${text} leads out of the recipe's folder`, { hint: "copy the image into it" });
  return real;
}

/** Registries of this machine seldom have a certificate; Docker and podman make the same exception. */
export const isLocalRegistry = (host: string): boolean => /^(?:localhost|127\.\d+\.\d+\.\d+)(?::\d+)?$/.test(host);
