import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { withoutLogin } from "../../core/debian/sources.ts";
import { parseRelease, type Release } from "../../core/debian/release.ts";
import type { Transfer } from "../../ports/transfer.ts";
import { readIfThere, writeAtomically } from "../local-store/files.ts";
import { verifySignature, type Verdict } from "./gpgv.ts";
import type { Keyring } from "./keyrings.ts";
import { shownRoot, shownSuite, suiteFolder, type RepositorySuite } from "./repository-suites.ts";

/** A release file whose signature was verified, or that the recipe trusts without one. */
export interface VerifiedRelease {
  readonly text: string;
  readonly release: Release;
  /** Hex digest of the text. */
  readonly digest: string;
}

export interface ReleaseContext {
  /** Holds, by suite and keys, the last release file that was good. */
  readonly folder: string;
  /** A new path for a file that is being fetched. */
  scratch(name: string): string;
  readonly transfer: Transfer;
  readonly keyring: Keyring | undefined;
  readonly nowSeconds: number;
  readonly allowExpired: boolean;
  readonly signal: AbortSignal;
  warn(message: string): void;
  /** Told that the mirror has an older release file than was seen before. */
  wentBack(message: string): void;
  /** Stands in for the release file of a trusted repository that has none. */
  bareRelease(): Promise<string>;
}

/** Clocks differ; a release from further ahead means that one of them is wrong. A guess. */
const CLOCK_TOLERANCE_SECONDS = 600;

/** The last good release file of a suite, if there is one and it has not expired. */
export function knownRelease(place: RepositorySuite, context: ReleaseContext): VerifiedRelease | undefined {
  const text = readIfThere(pathOf(place, context));
  if (text === undefined) return undefined;
  const known = verified(text);
  const { validUntilSeconds } = known.release;
  const isPast = validUntilSeconds !== undefined && validUntilSeconds < context.nowSeconds;
  if (isPast && !context.allowExpired) return undefined;
  if (isPast) warnExpired(place, validUntilSeconds, context);
  return known;
}

/**
 * Fetches a suite's release file, verifies it and keeps it.
 *
 * @throws BakehouseError SIGNATURE_INVALID, RELEASE_EXPIRED, MIRROR_UNAVAILABLE
 */
export async function fetchRelease(place: RepositorySuite, context: ReleaseContext): Promise<VerifiedRelease> {
  const fetched = verified(await fetchVerifiedText(place, context));
  checkSuite(place, fetched.release);
  checkDates(place, fetched.release, context);
  const known = readIfThere(pathOf(place, context));
  const before = known === undefined ? undefined : verified(known);
  if (before !== undefined && (fetched.release.dateSeconds ?? 0) < (before.release.dateSeconds ?? 0)) {
    // A mirror that lags behind, or somebody who replays old lists to hold back security updates.
    const what = `The mirror of ${shownSuite(place)} has an older release file (${day(fetched.release.dateSeconds)}) than was seen before (${day(before.release.dateSeconds)})`;
    context.wentBack(what);
    context.warn(`${what}; the newer one is used`);
    checkDates(place, before.release, context);
    return before;
  }
  mkdirSync(context.folder, { recursive: true });
  writeAtomically(pathOf(place, context), fetched.text);
  return fetched;
}

const verified = (text: string): VerifiedRelease => ({
  text,
  release: parseRelease(text),
  digest: createHash("sha256").update(text).digest("hex"),
});

const pathOf = (place: RepositorySuite, context: ReleaseContext): string => {
  const identity = JSON.stringify([place.repository, place.roots[0], place.suite, place.trusted ? "trusted" : context.keyring?.digest]);
  return join(context.folder, createHash("sha256").update(identity).digest("hex").slice(0, 32));
};

async function fetchVerifiedText(place: RepositorySuite, context: ReleaseContext): Promise<string> {
  const inRelease = await fetchFile(place, "InRelease", context);
  if (inRelease !== undefined) return place.trusted ? clearText(inRelease) : verifyClearSigned(place, inRelease, context);
  const release = await fetchFile(place, "Release", context);
  if (release !== undefined) return place.trusted ? readFileSync(release, "utf8") : verifyDetached(place, release, context);
  if (place.trusted) return context.bareRelease();
  const message = `${shownSuite(place)} has no release file at ${withoutLogin(urlsOf(place, "InRelease")[0] ?? "")}`;
  throw new BakehouseError("MIRROR_UNAVAILABLE", message, {
    hint: place.isDebian
      ? "check the suite's name, or name another mirror with BAKEHOUSE_MIRROR=URL"
      : "check url and suites; a folder without a release file needs `trusted: true` in the recipe",
  });
}

const urlsOf = (place: RepositorySuite, name: string): readonly string[] =>
  place.roots.map((root) => `${root}/${suiteFolder(place)}${name}`);

async function fetchFile(place: RepositorySuite, name: string, context: ReleaseContext): Promise<string | undefined> {
  const target = context.scratch(name);
  const { missing } = await context.transfer.download({
    urls: urlsOf(place, name),
    target,
    what: `${name} of ${shownSuite(place)}`,
    signal: context.signal,
  });
  return missing ? undefined : target;
}

/** What a clear-signed file says, unverified. */
function clearText(path: string): string {
  const text = readFileSync(path, "utf8");
  const [, body] = /^-----BEGIN PGP SIGNED MESSAGE-----\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)^-----BEGIN PGP SIGNATURE-----/ms.exec(text) ?? [];
  return (body ?? text).replace(/^- /gm, "");
}

async function verifyClearSigned(place: RepositorySuite, path: string, context: ReleaseContext): Promise<string> {
  const output = context.scratch("Release");
  const keyring = context.keyring?.path ?? "";
  const verdict = await verifySignature([path], { keyring, output, signal: context.signal });
  if (verdict.kind !== "good") throw signatureError(place, verdict, context);
  return readFileSync(output, "utf8");
}

async function verifyDetached(place: RepositorySuite, release: string, context: ReleaseContext): Promise<string> {
  const signature = await fetchFile(place, "Release.gpg", context);
  if (signature === undefined) throw signatureError(place, { kind: "unsigned", keys: [] }, context);
  const keyring = context.keyring?.path ?? "";
  const verdict = await verifySignature([signature, release], { keyring, signal: context.signal });
  if (verdict.kind !== "good") throw signatureError(place, verdict, context);
  return readFileSync(release, "utf8");
}

function signatureError(place: RepositorySuite, verdict: Verdict, context: ReleaseContext): BakehouseError {
  const keys = verdict.keys.join(", ");
  const shown = context.keyring?.shown ?? "";
  const reason = {
    good: "",
    bad: `does not match its signature by ${keys}: it was changed on the way`,
    "unknown-key": `is signed by ${keys}, which is not in ${shown}`,
    "expired-key": `is signed by ${keys}, a key that has expired`,
    "revoked-key": `is signed by ${keys}, a key that was revoked`,
    "expired-signature": `has a signature by ${keys} that has expired`,
    weak: `is signed by ${keys} over a weak digest (MD5 or SHA-1)`,
    unsigned: "is not signed",
  }[verdict.kind];
  const hints = {
    good: "",
    bad: "try again later or with another mirror; if it stays, somebody may be tampering",
    "unknown-key":
      place.keyFile === undefined && !place.isDebian
        ? "add its key: `keyFile: FILE` for this repository"
        : place.isDebian
          ? "apt-get update && apt-get install debian-archive-keyring"
          : `put the repository's current key into ${shown}`,
    "expired-key": place.isDebian
      ? "apt-get update && apt-get install debian-archive-keyring"
      : `get the repository's renewed key into ${shown}`,
    "revoked-key": `get the repository's new key into ${shown}`,
    "expired-signature": "the repository has to sign anew",
    weak: "the repository has to sign with SHA-256 or better",
    unsigned: "an unsigned repository needs `trusted: true` in the recipe",
  }[verdict.kind];
  const details = { repository: place.repository, suite: place.suite, keys: verdict.keys, reason: verdict.kind };
  return new BakehouseError("SIGNATURE_INVALID", `The release file of ${shownSuite(place)} (${shownRoot(place)}) ${reason}`, {
    hint: hints,
    details,
  });
}

/** A good signature on another suite's file proves nothing about this one. Third parties often name theirs as they like. */
function checkSuite(place: RepositorySuite, release: Release): void {
  if (!place.isDebian || release.suite === place.suite || release.codename === place.suite) return;
  const message = `The mirror of ${shownSuite(place)} gives the release file of another suite: ${release.codename ?? release.suite ?? "none"}`;
  throw new BakehouseError("SIGNATURE_INVALID", message, {
    hint: "check the mirror's URL",
    details: { repository: place.repository, suite: place.suite },
  });
}

function checkDates(place: RepositorySuite, release: Release, context: ReleaseContext): void {
  const { dateSeconds, validUntilSeconds } = release;
  if (dateSeconds !== undefined && dateSeconds > context.nowSeconds + CLOCK_TOLERANCE_SECONDS) {
    const message = `The release file of ${shownSuite(place)} is from the future (${stamp(dateSeconds)}); this machine's clock says ${stamp(context.nowSeconds)}`;
    if (!context.allowExpired)
      throw new BakehouseError("RELEASE_EXPIRED", message, { hint: "set the clock; BAKEHOUSE_ALLOW_EXPIRED=1 takes it all the same" });
    context.warn(message);
  }
  if (validUntilSeconds === undefined || validUntilSeconds >= context.nowSeconds) return;
  if (context.allowExpired) return warnExpired(place, validUntilSeconds, context);
  const message = `The release file of ${shownSuite(place)} (${shownRoot(place)}) expired on ${stamp(validUntilSeconds)}: the mirror is frozen or no longer updated, and lacks security updates since ${day(dateSeconds)}`;
  throw new BakehouseError("RELEASE_EXPIRED", message, {
    hint: "name a current mirror with BAKEHOUSE_MIRROR=URL; to take a frozen one on purpose: BAKEHOUSE_ALLOW_EXPIRED=1",
    details: { repository: place.repository, suite: place.suite, validUntil: stamp(validUntilSeconds) },
  });
}

const warnExpired = (place: RepositorySuite, validUntilSeconds: number, context: ReleaseContext): void =>
  context.warn(
    `The release file of ${shownSuite(place)} expired on ${stamp(validUntilSeconds)} and is used all the same, as asked: security updates since then are missing`,
  );

const stamp = (seconds: number): string => new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
const day = (seconds: number | undefined): string => (seconds === undefined ? "an unknown date" : stamp(seconds).slice(0, 10));
