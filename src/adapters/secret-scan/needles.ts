/** A secret's value by its name. */
export interface NamedSecret {
  readonly name: string;
  readonly value: string;
}

export type SecretForm = "plain" | "line" | "base64" | "hex" | "url-escaped" | "json-escaped";

/** Bytes whose presence gives a secret away. */
export interface Needle {
  readonly bytes: Buffer;
  readonly secret: string;
  readonly form: SecretForm;
}

/** Shorter ones occur by chance in any tree: they are not looked for, which `isScannable` tells. A guess. */
const MIN_BYTES = 6;
/** A line of a secret counts by itself from here on. */
const MIN_LINE = 12;
/** Base64 is often broken into lines of 64 or 76 characters: pieces this long (32 characters) always come through whole. */
const BASE64_PIECE = 24;
/** A secret may be a whole configuration file; its longest lines are proof enough. */
const MAX_LINES = 256;

/** Lines that say what kind of secret it is, and stand in many harmless files. */
const BOILERPLATE = /^(?:-----(?:BEGIN|END) [A-Z0-9 ]+-----|#.*|<\?xml .*)$/;

/** Whether a secret is long enough to be found at all. */
export const isScannable = (value: string): boolean => units(value).length > 0;

/** Everything that is looked for: each form of each secret, or of each of its lines. */
export function needlesFor(secrets: readonly NamedSecret[]): readonly Needle[] {
  const found = new Map<string, Needle>();
  for (const { name, value } of secrets) {
    for (const unit of units(value)) {
      for (const needle of forms(unit.text, name, unit.form)) {
        const key = `${name}\0${needle.bytes.toString("latin1")}`;
        if (!found.has(key)) found.set(key, needle);
      }
    }
  }
  return [...found.values()];
}

/** A secret of several lines is its lines: whoever writes all of it writes each of them. */
function units(value: string): readonly { readonly text: string; readonly form: "plain" | "line" }[] {
  const whole = value.replace(/[\r\n]+$/, "");
  if (!/[\r\n]/.test(whole)) return Buffer.byteLength(whole) >= MIN_BYTES ? [{ text: whole, form: "plain" }] : [];
  const lines = whole
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line.length >= MIN_LINE && !BOILERPLATE.test(line));
  if (lines.length === 0) return Buffer.byteLength(whole) >= MIN_BYTES ? [{ text: whole, form: "plain" }] : [];
  return [...new Set(lines)]
    .sort((a, b) => b.length - a.length)
    .slice(0, MAX_LINES)
    .map((text) => ({ text, form: "line" }));
}

function* forms(text: string, secret: string, form: "plain" | "line"): Generator<Needle> {
  const bytes = Buffer.from(text);
  yield { bytes, secret, form };
  const written = (escaped: string, as: SecretForm): Needle[] =>
    escaped === text ? [] : [{ bytes: Buffer.from(escaped), secret, form: as }];
  yield* written(JSON.stringify(text).slice(1, -1), "json-escaped");
  for (const escaped of urlForms(text)) yield* written(escaped, "url-escaped");
  const hex = bytes.toString("hex");
  yield { bytes: Buffer.from(hex), secret, form: "hex" };
  yield { bytes: Buffer.from(hex.toUpperCase()), secret, form: "hex" };
  for (const core of base64Forms(bytes)) yield { bytes: Buffer.from(core), secret, form: "base64" };
}

/** As encodeURIComponent, as a form (space is +), as strict encoders (RFC 3986 also escapes !'()*), and with lower-case digits. */
function urlForms(text: string): readonly string[] {
  const component = safeEncode(text);
  const strict = component.replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
  const all = [component, strict, strict.replaceAll("%20", "+")];
  return [...new Set([...all, ...all.map((escaped) => escaped.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()))])];
}

/** A lone surrogate has no UTF-8, and encodeURIComponent refuses it. */
const safeEncode = (text: string): string => encodeURIComponent(text.toWellFormed());

/** The part of the base64 text that depends on the secret alone, wherever it starts in what was encoded; both alphabets. */
function base64Forms(bytes: Buffer): readonly string[] {
  const cores: string[] = [];
  for (let start = 0; start < bytes.length; start += BASE64_PIECE) {
    const rest = bytes.length - start;
    // a short rest is taken together with the piece before it
    const piece = bytes.subarray(rest < MIN_LINE ? Math.max(0, bytes.length - BASE64_PIECE) : start, start + BASE64_PIECE);
    for (const offset of [0, 1, 2]) {
      const text = Buffer.concat([Buffer.alloc(offset), piece]).toString("base64");
      const core = text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + piece.length) * 8) / 6));
      cores.push(core, core.replaceAll("+", "-").replaceAll("/", "_"));
    }
  }
  return [...new Set(cores)];
}
