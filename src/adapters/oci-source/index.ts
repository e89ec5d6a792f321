export { ociSource, type OciSourceOptions } from "./oci-source.ts";
