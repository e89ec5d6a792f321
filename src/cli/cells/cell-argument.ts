export const CELL_ARGUMENT = { summary: "Name or id of a cell, or the beginning of the id", completes: "none" } as const;
