export { localKeys } from "./local-keys.ts";
export { keyOf, trustOnly } from "./ed25519.ts";
