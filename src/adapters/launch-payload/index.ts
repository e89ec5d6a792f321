export { launchPayloads } from "./stage-payload.ts";
export { writeLaunchFiles } from "./write-launch-files.ts";
