import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorOf, Kitchen } from "./kitchen.ts";

/**
 * A store on a small tmpfs. It is mounted for the CLI alone, in a mount namespace that a sleeping process keeps alive, so
 * that the next call finds the same store again and nothing is left when the test is killed.
 */
describe("a store on a disk that is full", () => {
  let kitchen: Kitchen;
  let small: { under: readonly string[]; run(script: string): Promise<string>; end(): void };
  let calm: Readonly<Record<string, string>>;

  beforeAll(async () => {
    kitchen = await Kitchen.open();
    kitchen.steps("- run: head -c 20000000 /dev/zero > /srv/large; echo done > /srv/done");
    calm = (await kitchen.bake()).digests;
    small = await kitchen.privateMounts();
  });
  afterAll(() => {
    small.end();
    kitchen.close();
  });

  const smallStore = async (megabytes: number, tiny: string): Promise<void> =>
    void (await small.run(
      `mkdir -p ${kitchen.folder}/small; umount ${kitchen.folder}/small 2>/dev/null || true; mount -t tmpfs -o size=${megabytes}m none ${kitchen.folder}/small; cp -a ${tiny}/. ${kitchen.folder}/small/`,
    ));
  const options = () => ({ store: `${kitchen.folder}/small`, under: small.under });

  it.each([
    ["in the middle of a script", 45],
    ["in the middle of writing the diff", 65],
  ])("%s: says so, keeps what is whole, and goes on when there is space", async (_, megabytes) => {
    const { tinyStore } = await import("../shared-store.ts");
    await smallStore(megabytes, await tinyStore());
    const run = await kitchen.cli(["bake", "--json"], options());
    expect(errorOf(run)).toMatchObject({
      code: "STORE_FULL",
      message: expect.stringMatching(/app\/run|small/),
      hint: expect.stringContaining("gc"),
    });
    expect(run.code).toBe(1);
    expect(run.stderr).not.toMatch(/^ +at /m);
    expect(
      await small.run(
        `cd ${kitchen.folder}/small && ls -A work; find . -name '.tmp-*'; cd oci/blobs/sha256 && sha256sum * | while read -r sum name; do [ $sum = $name ] || echo damaged $name; done`,
      ),
    ).toBe("");
    await small.run(`mount -o remount,size=200m ${kitchen.folder}/small`);
    expect((await kitchen.bake([], options())).digests).toEqual(calm);
  });

  it("is told when not even the record of the bake can be written", async () => {
    const { tinyStore } = await import("../shared-store.ts");
    await smallStore(60, await tinyStore());
    await small.run(`head -c 100m /dev/zero > ${kitchen.folder}/small/filler 2>/dev/null || true`);
    const run = await kitchen.cli(["bake", "--json"], options());
    expect(errorOf(run)).toMatchObject({ code: "STORE_FULL" });
    await small.run(`rm ${kitchen.folder}/small/filler; mount -o remount,size=200m ${kitchen.folder}/small`);
    expect((await kitchen.bake([], options())).digests).toEqual(calm);
  });
});
