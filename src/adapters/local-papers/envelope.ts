import type { KeyTrust, SignatureVerdict } from "../../ports/keys.ts";

/**
 * A DSSE envelope (Dead Simple Signing Envelope, protocol version 1): the bytes that are signed, what they are, and who signed.
 *
 *     { "payload": base64, "payloadType": "application/vnd.in-toto+json", "signatures": [{ "keyid": "…", "sig": base64 }] }
 */
interface Envelope {
  readonly payload: string;
  readonly payloadType: string;
  readonly signatures: readonly { readonly keyid?: string; readonly sig: string }[];
}

/** What is signed: `DSSEv1 <length> <type> <length> <payload>` (DSSE, "Pre-Authentication Encoding"). Lengths count bytes. */
const preAuthentication = (payloadType: string, payload: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `), payload]);

export async function sealEnvelope(
  payloadType: string,
  text: string,
  sign: (message: Uint8Array) => Promise<{ readonly keyId: string; readonly signature: Uint8Array }>,
): Promise<string> {
  const payload = Buffer.from(text);
  const { keyId, signature } = await sign(preAuthentication(payloadType, payload));
  const envelope: Envelope = {
    payload: payload.toString("base64"),
    payloadType,
    signatures: [{ keyid: keyId, sig: Buffer.from(signature).toString("base64") }],
  };
  return JSON.stringify(envelope);
}

export interface OpenedEnvelope {
  readonly verdict: SignatureVerdict;
  /** Of the key that counts: one that is trusted, else the first. */
  readonly keyId: string;
  /** Absent when the text is no envelope of this type. */
  readonly payload?: string;
}

/** Never throws: what cannot be read is signed by nobody. */
export function openEnvelope(text: string, payloadType: string, trust: KeyTrust): OpenedEnvelope {
  const envelope = parseEnvelope(text);
  if (envelope === undefined || envelope.payloadType !== payloadType) return { verdict: "bad-signature", keyId: "" };
  const payload = Buffer.from(envelope.payload, "base64");
  const message = preAuthentication(envelope.payloadType, payload);
  const signatures = envelope.signatures.map(({ keyid = "", sig }) => ({
    keyId: keyid,
    verdict: trust.verify(keyid, message, Buffer.from(sig, "base64")),
  }));
  const best = signatures.find(({ verdict }) => verdict === "signed") ?? signatures[0];
  return { verdict: best?.verdict ?? "bad-signature", keyId: best?.keyId ?? "", payload: payload.toString("utf8") };
}

function parseEnvelope(text: string): Envelope | undefined {
  try {
    const value = JSON.parse(text) as Partial<Envelope> | null;
    const sound =
      typeof value?.payload === "string" &&
      typeof value.payloadType === "string" &&
      Array.isArray(value.signatures) &&
      value.signatures.every((each: unknown) => typeof (each as { readonly sig?: unknown } | null)?.sig === "string");
    return sound ? (value as Envelope) : undefined;
  } catch {
    return undefined;
  }
}
