import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatAttributeDump, parseAttributeDump } from "./attribute-dump.ts";

const raw = (forbidden: string): fc.Arbitrary<string> =>
  fc
    .array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 20 })
    .map((bytes) => String.fromCharCode(...bytes.filter((byte) => !forbidden.includes(String.fromCharCode(byte))), 0x61));

describe("the text of getfattr and setfattr", () => {
  it("keeps names and values of any bytes", () => {
    const xattrs = fc
      .array(
        fc.tuple(
          raw("\0").map((name) => `user.${name}`),
          fc.uint8Array({ maxLength: 40 }),
        ),
        { minLength: 1, maxLength: 4 },
      )
      .map((pairs) => new Map(pairs));
    fc.assert(
      fc.property(fc.array(fc.tuple(raw("/\0"), xattrs), { maxLength: 4 }), (entries) => {
        const unique = new Map(entries);
        const plain = (map: ReadonlyMap<string, ReadonlyMap<string, Uint8Array>>): unknown =>
          [...map].map(([path, attributes]) => [path, [...attributes].map(([name, value]) => [name, [...value]])]);
        expect(plain(parseAttributeDump(formatAttributeDump(unique)))).toEqual(plain(unique));
      }),
    );
  });

  it("reads the root, empty values in both forms, and a file that looks like a heading", () => {
    const dump = "# file: .\nuser.a=0x01\n\n# file: ./# file: x\\012y\nuser.b\nuser.c=0x\nuser.d\\075e=0xff\n\n";
    const parsed = parseAttributeDump(dump);
    expect([...parsed.keys()]).toEqual(["", "# file: x\ny"]);
    expect([...(parsed.get("# file: x\ny") ?? [])].map(([name, value]) => [name, [...value]])).toEqual([
      ["user.b", []],
      ["user.c", []],
      ["user.d=e", [255]],
    ]);
  });

  it("does not guess at values that are not hexadecimal", () => {
    expect(() => parseAttributeDump('# file: a\nuser.a="text"\n')).toThrow(/not hexadecimal/);
  });
});
