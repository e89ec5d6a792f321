export { qemuMachines } from "./qemu-machines.ts";
