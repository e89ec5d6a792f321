export { maskSecrets, streamMasker, type StreamMasker } from "./mask-secrets.ts";
export { isScannable, type NamedSecret, type SecretForm } from "./needles.ts";
export { scanForSecrets, type FoundSecret } from "./scan-for-secrets.ts";
