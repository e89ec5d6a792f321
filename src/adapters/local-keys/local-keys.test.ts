import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Keys } from "../../ports/keys.ts";
import type { Store } from "../../ports/store.ts";
import { openLocalStore } from "../local-store/local-store.ts";
import { localKeys } from "./local-keys.ts";

const message = Buffer.from("a paper");
const clock = { now: () => new Date(), elapsedMs: () => performance.now() };

describe("keys of a store", () => {
  let folder: string;
  let store: Store;
  let keys: Keys;
  const openKeys = (givenKey?: string): Keys =>
    localKeys({ store, clock, owner: "tester@host", ...(givenKey === undefined ? {} : { givenKey }) });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "bakehouse-keys-"));
    store = openLocalStore(join(folder, "store"));
    keys = openKeys();
  });
  afterEach(() => {
    store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const privatePem = (): string => generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }) as string;

  it("makes a first one when something is signed; its private half is for the owner alone", async () => {
    expect(keys.list()).toEqual([]);
    const { keyId, signature } = await keys.sign(message);
    expect(keys.verify(keyId, message, signature)).toBe("signed");
    expect(keys.list()).toMatchObject([{ id: keyId, name: "tester@host", signs: true, hasPrivate: true }]);
    for (const name of readdirSync(store.path("keys")))
      expect(statSync(store.path("keys", name)).mode & 0o777, name).toBe(name === "keys.json" ? 0o644 : 0o600);
  });

  it("tells other bytes and other keys from its own", async () => {
    const { keyId, signature } = await keys.sign(message);
    expect(keys.verify(keyId, Buffer.from("another"), signature)).toBe("bad-signature");
    expect(keys.verify("0".repeat(64), message, signature)).toBe("unknown-key");
  });

  it("signs with the newest, verifies with the older, and no longer with a retired one", async () => {
    const old = await keys.sign(message);
    const made = await keys.make("second");
    const fresh = await keys.sign(message);
    expect(fresh.keyId).toBe(made.id);
    expect(keys.verify(old.keyId, message, old.signature)).toBe("signed");
    await keys.retire(old.keyId);
    expect(keys.verify(old.keyId, message, old.signature)).toBe("unknown-key");
    expect(keys.verify(fresh.keyId, message, fresh.signature)).toBe("signed");
    expect(keys.list().map(({ id, signs, retiredAt }) => [id, signs, retiredAt !== undefined])).toEqual([
      [made.id, true, false],
      [old.keyId, false, true],
    ]);
  });

  it("makes a new one after the one that signs was retired", async () => {
    const old = await keys.sign(message);
    await keys.retire(old.keyId);
    expect((await keys.sign(message)).keyId).not.toBe(old.keyId);
  });

  it("takes a key of the user's, private or public", async () => {
    const taken = await keys.take(privatePem(), { name: "ours", signs: false });
    expect(taken).toMatchObject({ name: "ours", signs: true, hasPrivate: true });
    const other = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }) as string;
    expect(await keys.take(other, { name: "theirs", signs: false })).toMatchObject({ signs: false, hasPrivate: false });
    expect(keys.publicKey(keys.list()[0]?.id ?? "")).toBe(other);
    await expect(keys.take(other, { name: "theirs", signs: true })).rejects.toMatchObject({ code: "KEY_INVALID" });
  });

  it("refuses what is no ed25519 key", async () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    const locked = generateKeyPairSync("ed25519").privateKey.export({
      type: "pkcs8",
      format: "pem",
      cipher: "aes-256-cbc",
      passphrase: "x",
    });
    for (const [pem, why] of [
      [rsa, "type rsa"],
      [locked as string, "passphrase"],
      ["nothing", "no PEM"],
    ] as const)
      await expect(keys.take(pem, { name: "x", signs: false })).rejects.toMatchObject({
        code: "KEY_INVALID",
        message: expect.stringContaining(why) as string,
      });
    expect(keys.list()).toEqual([]);
  });

  it("signs with the key that BAKEHOUSE_KEY names, and trusts it later without", async () => {
    const pem = join(folder, "mine.pem");
    writeFileSync(pem, privatePem());
    const { keyId, signature } = await openKeys(pem).sign(message);
    expect(keys.verify(keyId, message, signature)).toBe("signed");
    expect(keys.list()).toMatchObject([{ id: keyId, hasPrivate: false, signs: false }]);
    await keys.retire(keyId);
    await expect(openKeys(pem).sign(message)).rejects.toMatchObject({
      code: "KEY_INVALID",
      message: expect.stringContaining("retired") as string,
    });
    await expect(openKeys(join(folder, "none.pem")).sign(message)).rejects.toMatchObject({ code: "KEY_INVALID" });
  });

  it("is one and the same for many that sign at once", async () => {
    const other = openLocalStore(store.root);
    const all = await Promise.all(
      Array.from({ length: 8 }, (_, index) => localKeys({ store: index % 2 === 0 ? store : other, clock, owner: "x" }).sign(message)),
    );
    other.close();
    expect(new Set(all.map(({ keyId }) => keyId)).size).toBe(1);
  });

  it("survives a writer that dies at any moment: one list, and no private half that it does not name", async () => {
    const script = `const { openLocalStore } = await import(process.argv[1]);
const { localKeys } = await import(process.argv[2]);
const keys = localKeys({ store: openLocalStore(process.argv[3]), clock: { now: () => new Date() }, owner: "x" });
console.log("go"); for (;;) await keys.make("again");`;
    for (const waitMs of [5, 20, 60]) {
      const child = spawn(
        process.execPath,
        [
          "--input-type=module",
          "-e",
          script,
          new URL("../local-store/local-store.ts", import.meta.url).pathname,
          new URL("./local-keys.ts", import.meta.url).pathname,
          store.root,
        ],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      await new Promise((resolve) => child.stdout.once("data", resolve));
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
      const { keyId, signature } = await keys.sign(message);
      expect(keys.verify(keyId, message, signature)).toBe("signed");
      await keys.make("after");
      store.tidy();
      expect(readdirSync(store.path("keys")).sort()).toEqual(["keys.json", ...keys.list().map(({ id }) => `${id}.pem`)].sort());
    }
  });

  it("says that the list is damaged", () => {
    store.writeNote("format-of-tests", {}); // the folder is made with the first key
    return keys.make("one").then(() => {
      writeFileSync(store.path("keys", "keys.json"), readFileSync(store.path("keys", "keys.json"), "utf8").slice(0, 20));
      expect(() => keys.list()).toThrow(expect.objectContaining({ code: "STORE_DAMAGED" }));
    });
  });
});
