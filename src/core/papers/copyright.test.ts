import { describe, expect, it } from "vitest";
import { licencesOf } from "./copyright.ts";

const HEAD = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n";
const file = (...licences: readonly string[]): string =>
  HEAD + licences.map((licence) => `Files: *\nCopyright: 2020 A\nLicense: ${licence}\n`).join("\n");

describe("licences of a copyright file", () => {
  it.each([
    [file("GPL-2+"), ["GPL-2.0-or-later"]],
    [file("LGPL-2.1"), ["LGPL-2.1-only"]],
    [file("GFDL-1.3+"), ["GFDL-1.3-or-later"]],
    [file("Expat", "BSD-3-clause", "Expat"), ["BSD-3-Clause", "MIT"]],
    [file("GPL-1+ or Artistic"), ["GPL-1.0-or-later OR Artistic-1.0-Perl"]],
    [file("BSD-2-clause and ISC"), ["BSD-2-Clause AND ISC"]],
    [file("GPL-2+, and Expat or zlib"), ["(GPL-2.0-or-later AND MIT) OR Zlib"]],
    [file("GPL-3+ with Bison exception"), ["LicenseRef-GPL-3-or-later-with-Bison-exception"]],
    [file("public-domain"), ["LicenseRef-public-domain"]],
    [file("GPL-2.1+"), ["LicenseRef-GPL-2.1-or-later"]],
    [`${file("GPL-2")}\nLicense: Expat\n The text of a licence.\n`, ["GPL-2.0-only"]],
    ["This is free software.\nLicense: GPL-2\n", []],
    ["", []],
    ["Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n: broken\n\n\n   \n", []],
  ])("%j", (text, licences) => expect(licencesOf(text)).toEqual(licences));
});
