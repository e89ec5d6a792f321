import { sign, type KeyObject } from "node:crypto";
import { chmodSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import type { Clock } from "../../ports/host.ts";
import type { KeyInfo, Keys } from "../../ports/keys.ts";
import type { Store } from "../../ports/store.ts";
import { makeFolder, namesIn, readIfThere, storeError, writeAtomically } from "../local-store/files.ts";
import { generateKey, keyOf, privatePem, publicPem, verdictOf, type ReadKey } from "./ed25519.ts";

/**
 * Keys in the store's own folder:
 *
 *     keys/            0755
 *       keys.json      0644  who is trusted, and which one signs: KeyRing; whoever may read the store may verify
 *       <id>.pem       0600  a private half (PKCS #8), for the owner alone; written before keys.json names it
 *
 * Whoever changes anything holds the lock `keys`. A private half that keys.json does not name was left by a writer that died:
 * the next one removes it.
 */
interface KeyRing {
  /** Id of the key that signs. */
  readonly signs?: string;
  /** The newest first. */
  readonly keys: readonly KeptKey[];
}

interface KeptKey {
  readonly id: string;
  readonly name: string;
  readonly madeAt: string;
  /** PEM (SPKI). */
  readonly publicKey: string;
  readonly retiredAt?: string;
}

export interface LocalKeysOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** `user@host`: what a key is called that is made by itself. */
  readonly owner: string;
  /** Path of a PEM that signs in place of the store's own key: `$BAKEHOUSE_KEY`. */
  readonly givenKey?: string;
}

export function localKeys(options: LocalKeysOptions): Keys {
  const files = keyFiles(options.store);
  const change = <T>(edit: (ring: KeyRing) => { readonly ring: KeyRing; readonly result: T }): Promise<T> =>
    options.store.withLock("keys", {}, async () => {
      const { ring, result } = edit(files.read());
      files.write(ring);
      return result;
    });
  const added = (ring: KeyRing, key: ReadKey, name: string, signs: boolean): KeyRing => {
    if (key.privateKey !== undefined) files.savePrivate(key.id, key.privateKey);
    const known = ring.keys.find(({ id }) => id === key.id);
    refuseRetired(known);
    const kept = known ?? { id: key.id, name, madeAt: options.clock.now().toISOString(), publicKey: publicPem(key.publicKey) };
    return { ...ring, ...(signs ? { signs: key.id } : {}), keys: [kept, ...ring.keys.filter(({ id }) => id !== key.id)] };
  };
  const describe = (ring: KeyRing, id: string): KeyInfo => {
    const { publicKey: _pem, ...key } = keptKey(ring, id);
    return { ...key, signs: ring.signs === id, hasPrivate: files.hasPrivate(id) };
  };
  const publicKeys = new Map<string, KeyObject>();
  const given = givenKey(options.givenKey);

  /** What is signed with a key of the user's is to be trusted later, too, when that key is not given. */
  const trustGiven = async (key: ReadKey): Promise<void> => {
    const known = files.read().keys.find(({ id }) => id === key.id);
    refuseRetired(known);
    if (known !== undefined) return;
    await change((ring) => ({
      ring: added(ring, { id: key.id, publicKey: key.publicKey }, "given by BAKEHOUSE_KEY", false),
      result: undefined,
    }));
  };

  const signingKey = async (): Promise<{ readonly id: string; readonly privateKey: KeyObject }> => {
    const own = given();
    if (own !== undefined) {
      await trustGiven(own);
      return own;
    }
    const { signs } = files.read();
    const id =
      signs ??
      (await change((ring) => {
        if (ring.signs !== undefined) return { ring, result: ring.signs }; // another process was quicker
        const key = generateKey();
        return { ring: added(ring, key, options.owner, true), result: key.id };
      }));
    return { id, privateKey: files.readPrivate(id) };
  };

  return {
    list: () => {
      const ring = files.read();
      return ring.keys.map(({ id }) => describe(ring, id));
    },
    sign: async (message) => {
      const { id, privateKey } = await signingKey();
      return { keyId: id, signature: sign(null, message, privateKey) };
    },
    verify: (keyId, message, signature) => {
      const known = files.read().keys.find(({ id }) => id === keyId);
      if (known === undefined || known.retiredAt !== undefined) return "unknown-key";
      const key = publicKeys.get(keyId) ?? keyOf(known.publicKey, `The key ${keyId}`).publicKey;
      publicKeys.set(keyId, key);
      return verdictOf(key, message, signature);
    },
    make: (name) =>
      change((before) => {
        const key = generateKey();
        const ring = added(before, key, name, true);
        return { ring, result: describe(ring, key.id) };
      }),
    take: (pem, { name, signs }) =>
      change((before) => {
        const key = keyOf(pem, "What was given");
        if (signs && key.privateKey === undefined)
          throw new BakehouseError("KEY_INVALID", "A public key cannot sign", { hint: "give the private half, or leave out --sign" });
        const ring = added(before, key, name, key.privateKey !== undefined && (signs || before.signs === undefined));
        return { ring, result: describe(ring, key.id) };
      }),
    retire: (id) =>
      change((before) => {
        const retiredAt = keptKey(before, id).retiredAt ?? options.clock.now().toISOString();
        const { signs, ...rest } = before;
        const ring: KeyRing = {
          ...rest,
          ...(signs === undefined || signs === id ? {} : { signs }),
          keys: before.keys.map((key) => (key.id === id ? { ...key, retiredAt } : key)),
        };
        return { ring, result: describe(ring, id) };
      }),
    publicKey: (id) => keptKey(files.read(), id).publicKey,
  };
}

function refuseRetired(key: KeptKey | undefined): void {
  if (key?.retiredAt !== undefined)
    throw new BakehouseError("KEY_INVALID", `The key ${key.name} (${key.id.slice(0, 12)}) is retired since ${key.retiredAt}`, {
      hint: "use another: bakehouse key list",
    });
}

function keptKey(ring: KeyRing, id: string): KeptKey {
  const found = ring.keys.find((key) => key.id === id);
  if (found !== undefined) return found;
  throw new BakehouseError("KEY_INVALID", `No key has the id ${id}`, { hint: "bakehouse key list" });
}

function givenKey(path: string | undefined): () => Required<ReadKey> | undefined {
  let read: Required<ReadKey> | undefined;
  return () => {
    if (path === undefined || path === "") return undefined;
    if (read !== undefined) return read;
    const pem = ((): string => {
      try {
        return readFileSync(path, "utf8");
      } catch (error) {
        throw new BakehouseError(
          "KEY_INVALID",
          `BAKEHOUSE_KEY: ${(error as Error).message}`,
          { hint: "name a PEM file, or unset it" },
          error,
        );
      }
    })();
    const key = keyOf(pem, path);
    if (key.privateKey === undefined)
      throw new BakehouseError("KEY_INVALID", `BAKEHOUSE_KEY: ${path} holds only the public half`, { hint: "name the private key" });
    return (read = { ...key, privateKey: key.privateKey });
  };
}

interface KeyFiles {
  read(): KeyRing;
  write(ring: KeyRing): void;
  hasPrivate(id: string): boolean;
  readPrivate(id: string): KeyObject;
  savePrivate(id: string, key: KeyObject): void;
}

function keyFiles(store: Store): KeyFiles {
  const folder = store.path("keys");
  const ringFile = join(folder, "keys.json");
  const pemFile = (id: string): string => join(folder, `${id}.pem`);
  const prepare = (): void => {
    try {
      makeFolder(folder);
      chmodSync(folder, 0o755);
    } catch (error) {
      throw storeError(error, folder);
    }
  };
  const hasPrivate = (id: string): boolean => namesIn(folder).includes(`${id}.pem`);
  return {
    read: () => {
      const text = readIfThere(ringFile);
      if (text === undefined) return { keys: [] };
      const ring = parseRing(text);
      if (ring === undefined)
        throw new BakehouseError("STORE_DAMAGED", `${ringFile} is damaged`, {
          hint: "restore it from a backup; without it no signature of this store is trusted",
        });
      return ring;
    },
    write: (ring) => {
      prepare();
      writeAtomically(ringFile, JSON.stringify(ring), 0o644);
      const named = new Set(ring.keys.map(({ id }) => `${id}.pem`));
      for (const name of namesIn(folder)) if (name.endsWith(".pem") && !named.has(name)) rmSync(join(folder, name), { force: true });
    },
    hasPrivate,
    readPrivate: (id) => {
      const pem = ((): string | undefined => {
        try {
          return readIfThere(pemFile(id));
        } catch (error) {
          throw new BakehouseError(
            "KEY_INVALID",
            `Cannot read the key: ${(error as Error).message}`,
            { hint: "sign as the user who made it, or set BAKEHOUSE_KEY" },
            error,
          );
        }
      })();
      if (pem === undefined)
        throw new BakehouseError("KEY_INVALID", `The private half of the key ${id.slice(0, 12)} is missing from ${folder}`, {
          hint: "bakehouse key rotate, to make a new one",
        });
      const { privateKey } = keyOf(pem, pemFile(id));
      if (privateKey === undefined)
        throw new BakehouseError("KEY_INVALID", `${pemFile(id)} holds no private key`, { hint: "bakehouse key rotate, to make a new one" });
      return privateKey;
    },
    savePrivate: (id, key) => {
      prepare();
      writeAtomically(pemFile(id), privatePem(key), 0o600);
    },
  };
}

function parseRing(text: string): KeyRing | undefined {
  try {
    const ring = JSON.parse(text) as Partial<KeyRing> | null;
    return Array.isArray(ring?.keys) ? (ring as KeyRing) : undefined;
  } catch {
    return undefined;
  }
}
