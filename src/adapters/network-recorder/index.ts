export { MIRROR_HOST } from "./addresses.ts";
export { networkRecorder, type NetworkRecorderOptions } from "./network-recorder.ts";
