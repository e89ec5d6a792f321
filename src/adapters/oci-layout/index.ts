export { isOciLayout, openOciLayout } from "./oci-layout.ts";
