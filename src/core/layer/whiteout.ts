import { joinRaw, nameOf, parentOf, type RawPath } from "./raw-path.ts";

/**
 * OCI image-spec, "Representing Changes": an empty file `.wh.<name>` says that `<name>` of the layers below is gone, and
 * `.wh..wh..opq` that everything below its directory is.
 */
export const WHITEOUT_PREFIX = ".wh.";
export const OPAQUE_NAME = ".wh..wh..opq";

export type Whiteout =
  | { readonly kind: "removed"; readonly path: RawPath }
  | { readonly kind: "opaque"; readonly path: RawPath }
  /** Bookkeeping of AUFS (`.wh..wh.aufs`, `.wh..wh.plnk`): means nothing to anybody else. */
  | { readonly kind: "ignored"; readonly path: RawPath };

/** What an entry of this name stands for; `undefined` for an ordinary one. */
export function whiteoutOf(path: RawPath): Whiteout | undefined {
  const name = nameOf(path);
  if (!name.startsWith(WHITEOUT_PREFIX)) return undefined;
  if (name === OPAQUE_NAME) return { kind: "opaque", path: parentOf(path) };
  if (name.startsWith(`${WHITEOUT_PREFIX}${WHITEOUT_PREFIX}`)) return { kind: "ignored", path };
  return { kind: "removed", path: joinRaw(parentOf(path), name.slice(WHITEOUT_PREFIX.length)) };
}

export const whiteoutPath = (path: RawPath): RawPath => joinRaw(parentOf(path), WHITEOUT_PREFIX + nameOf(path));
