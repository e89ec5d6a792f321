/** Addresses in the network of a virtual machine, the same in each: QEMU's user network, of which nothing leads out. */
export const MACHINE_NETWORK = { server: "10.0.2.100" } as const;
