import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { substitute, substituteText } from "./substitute.ts";

const parameters = new Map<string, string | number | boolean>([
  ["version", "1.2.0"],
  ["port", 8080],
  ["tls", true],
]);

describe("substituteText", () => {
  it.each([
    ["v{{version}}", "v1.2.0"],
    ["{{ version }}-{{port}}", "1.2.0-8080"],
    ["{{{version}}}", "{1.2.0}"],
    ["{{!version}}", "{{version}}"],
    ["{{! version }}", "{{ version }}"],
    ["{{!!version}}", "{{!version}}"],
    ["{{other}}", "{{other}}"],
    ["${version} $version ${{.Name}} {{a,b},c} {{ x | default(1) }}", "${version} $version ${{.Name}} {{a,b},c} {{ x | default(1) }}"],
    ["", ""],
  ])("%s → %s", (text, expected) => {
    expect(substituteText(text, parameters)).toBe(expected);
  });
});

describe("substitute", () => {
  it("keeps the type where the text is nothing but the parameter", () => {
    const { value, whole } = substitute({ port: "{{port}}", url: ":{{port}}/", list: ["{{ tls }}", 3, null] }, parameters);
    expect(value).toEqual({ port: 8080, url: ":8080/", list: [true, 3, null] });
    expect(whole).toEqual([["port"], ["list", 0]]);
  });

  it("tells what was used and what is unknown", () => {
    const { used, unknown } = substitute({ a: "{{version}} {{nope}}", b: [{ c: "{{gone}}" }] }, parameters);
    expect([...used]).toEqual(["version"]);
    expect(unknown).toEqual([
      { name: "nope", path: ["a"] },
      { name: "gone", path: ["b", 0, "c"] },
    ]);
  });

  it("leaves keys alone", () => {
    expect(substitute({ "{{version}}": 1 }, parameters).value).toEqual({ "{{version}}": 1 });
  });

  it("changes nothing where there is no parameter", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        fc.pre(!text.includes("{{") && !text.includes("__proto__"));
        expect(substitute(JSON.parse(text), parameters).value).toEqual(JSON.parse(text));
      }),
    );
  });

  it("escapes any text so that it comes out as it was", () => {
    const piece = fc.constantFrom("{{", "}}", "!", " ", "version", "port", "x", "{", "}", "$");
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const text = pieces.join("");
        const escaped = text.replace(/\{\{(?=!*\s*[A-Za-z][A-Za-z0-9_-]*\s*\}\})/g, "{{!");
        expect(substitute(escaped, parameters).value).toBe(text);
      }),
    );
  });
});
