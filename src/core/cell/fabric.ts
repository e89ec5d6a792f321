/** Addresses of a cell's network, the same in each: nothing joins two of them. The keeper (`keeper.pl`) names them, too. */
export const FABRIC = { gateway: "10.77.0.1", cell: "10.77.0.2", resolver: "10.77.0.53" } as const;
