import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import { createSecureContext, type SecureContext } from "node:tls";
import { bitString, booleanTrue, explicit, implicit, integer, objectId, octetString, sequence, set, utcTime, utf8String } from "./der.ts";

/** Vouches for every host towards the commands of one step. Its key lives in this object only. */
export interface Authority {
  /** The certificate that the step's commands trust, PEM. */
  readonly certificate: string;
  /** What a TLS server shows that answers for this host. */
  contextFor(host: string): SecureContext;
}

/** Profile of certificates: RFC 5280. */
const OID = {
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
} as const;

/** Only the namespace of one step ever sees them, so they may always be valid, whatever the clock says. */
const VALIDITY = sequence(utcTime("000101000000Z"), utcTime("491231235959Z"));
const ISSUER = "Bakehouse recorded network (one step)";

export function createAuthority(): Authority {
  const authority = newKeys();
  const server = newKeys();
  const extensions = [
    extension(OID.basicConstraints, sequence(booleanTrue()), true),
    extension(OID.keyUsage, bitString(Buffer.from([0b0000_0110]), 1), true), // keyCertSign, cRLSign
    extension(OID.subjectKeyIdentifier, octetString(authority.identifier)),
    extension(OID.authorityKeyIdentifier, sequence(implicit(0, authority.identifier))),
  ];
  const certificate = pem(certify({ subject: ISSUER, key: authority, extensions }, authority.privateKey));
  const contexts = new Map<string, SecureContext>();
  return {
    certificate,
    contextFor: (host) => {
      const known = contexts.get(host);
      if (known !== undefined) return known;
      const leaf = pem(
        certify({ subject: host.slice(0, 64), key: server, extensions: leafExtensions(host, server, authority) }, authority.privateKey),
      );
      const context = createSecureContext({ key: server.privateKey.export({ type: "pkcs8", format: "pem" }), cert: leaf + certificate });
      contexts.set(host, context);
      return context;
    },
  };
}

interface Keys {
  readonly privateKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
  readonly identifier: Buffer;
}

function newKeys(): Keys {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  return { privateKey, publicKey: spki, identifier: createHash("sha1").update(spki).digest() };
}

const leafExtensions = (host: string, key: Keys, authority: Keys): readonly Buffer[] => [
  extension(OID.basicConstraints, sequence(), true),
  extension(OID.keyUsage, bitString(Buffer.from([0b1000_0000]), 7), true), // digitalSignature
  extension(OID.extendedKeyUsage, sequence(objectId(OID.serverAuth))),
  extension(OID.subjectAltName, sequence(generalName(host))),
  extension(OID.subjectKeyIdentifier, octetString(key.identifier)),
  extension(OID.authorityKeyIdentifier, sequence(implicit(0, authority.identifier))),
];

const generalName = (host: string): Buffer =>
  isIP(host) === 4 ? implicit(7, Buffer.from(host.split(".").map(Number))) : implicit(2, Buffer.from(host));

const extension = (id: string, content: Buffer, critical = false): Buffer =>
  sequence(objectId(id), ...(critical ? [booleanTrue()] : []), octetString(content));

const name = (text: string): Buffer => sequence(set(sequence(objectId(OID.commonName), utf8String(text))));

function certify(
  wanted: { readonly subject: string; readonly key: Keys; readonly extensions: readonly Buffer[] },
  issuerKey: KeyObject,
): Buffer {
  const algorithm = sequence(objectId(OID.ecdsaWithSha256));
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))), // version 3
    integer(randomBytes(16)),
    algorithm,
    name(ISSUER),
    VALIDITY,
    name(wanted.subject),
    wanted.key.publicKey,
    explicit(3, sequence(...wanted.extensions)),
  );
  return sequence(body, algorithm, bitString(sign("sha256", body, issuerKey)));
}

const pem = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replace(/.{64}/g, "$&\n").trimEnd()}\n-----END CERTIFICATE-----\n`;
