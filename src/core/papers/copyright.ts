import { fieldOf, parseDeb822 } from "../debian/deb822.ts";

/**
 * Licences named by a machine-readable copyright file (DEP-5, "copyright format 1.0"), as SPDX expressions, sorted, each once.
 * Another file says nothing that a program could trust: empty.
 *
 * @example licencesOf("Format: https://www.debian.org/…/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+ or Expat\n")
 *          // ["GPL-2.0-or-later OR MIT"]
 */
export function licencesOf(copyright: string): readonly string[] {
  if (!/^Format(?:-Specification)?:\s*\S*(?:copyright-format|dep5)/im.test(copyright.slice(0, 2000))) return [];
  const names = parseDeb822(copyright).stanzas.flatMap((stanza) => {
    // a licence of its own paragraph is the text of one that a Files paragraph names
    const licence = fieldOf(stanza, "Files") === undefined ? undefined : fieldOf(stanza, "License");
    return licence === undefined ? [] : [licence.split("\n")[0]?.trim() ?? ""];
  });
  return [...new Set(names.filter((name) => name !== "").map(expressionOf))].sort();
}

/** `A, and B or C with X exception`: words as Debian writes them, in SPDX's. */
function expressionOf(text: string): string {
  const alternatives = text.split(/,?\s+or\s+/i).map((part) =>
    part
      .split(/\s*,\s+(?:and\s+)?|\s+and\s+/i)
      .filter((name) => name !== "")
      .map(identifierOf),
  );
  return alternatives.map((all) => (all.length > 1 && alternatives.length > 1 ? `(${all.join(" AND ")})` : all.join(" AND "))).join(" OR ");
}

/** Short names of DEP-5 and others that Debian's packages use, in lower case, by what SPDX calls them (licence list 3.20). */
const SPDX_NAMES: Readonly<Record<string, string>> = {
  "apache-2": "Apache-2.0",
  "apache-2.0": "Apache-2.0",
  artistic: "Artistic-1.0-Perl",
  "artistic-2": "Artistic-2.0",
  "artistic-2.0": "Artistic-2.0",
  "bsd-2-clause": "BSD-2-Clause",
  "bsd-2": "BSD-2-Clause",
  "bsd-3-clause": "BSD-3-Clause",
  "bsd-3": "BSD-3-Clause",
  "bsd-4-clause": "BSD-4-Clause",
  "bsd-4-clause-uc": "BSD-4-Clause-UC",
  "0bsd": "0BSD",
  "bsl-1.0": "BSL-1.0",
  "boost-1.0": "BSL-1.0",
  "cc0-1.0": "CC0-1.0",
  cc0: "CC0-1.0",
  "cc-by-3.0": "CC-BY-3.0",
  "cc-by-4.0": "CC-BY-4.0",
  "cc-by-sa-3.0": "CC-BY-SA-3.0",
  "cc-by-sa-4.0": "CC-BY-SA-4.0",
  curl: "curl",
  expat: "MIT",
  mit: "MIT",
  isc: "ISC",
  "mpl-1.1": "MPL-1.1",
  "mpl-2.0": "MPL-2.0",
  openssl: "OpenSSL",
  "psf-2": "PSF-2.0",
  "python-2.0": "Python-2.0",
  unlicense: "Unlicense",
  x11: "X11",
  zlib: "Zlib",
  "zlib/libpng": "Zlib",
};

/** `GPL-2+`, `LGPL-2.1`, `GFDL-1.3+`: SPDX says "only" or "or later". */
const GNU = /^(GPL-[123]|AGPL-[13]|LGPL-(?:2\.1|[23])|GFDL-1\.[123])(?:\.0)?(\+)?$/i;

function identifierOf(name: string): string {
  const trimmed = name.trim();
  const known = SPDX_NAMES[trimmed.toLowerCase()];
  if (known !== undefined) return known;
  const [, family, later] = GNU.exec(trimmed) ?? [];
  if (family === undefined) {
    const name = trimmed.replaceAll("+", "-or-later").replaceAll(/[^A-Za-z0-9.-]+/g, "-");
    return `LicenseRef-${name.replaceAll(/^-+|-+$/g, "") || "unnamed"}`;
  }
  return `${family.toUpperCase()}${family.includes(".") ? "" : ".0"}-${later === undefined ? "only" : "or-later"}`;
}
