export { hostImageMounts } from "./image-mounts.ts";
export { mountInWorkspace } from "./workspace-volume.ts";
