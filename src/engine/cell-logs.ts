import type { Cells } from "../ports/cells.ts";

export interface CellLogs {
  readonly cell: string;
  /** `console` when the machine is gone, and with it its journal. */
  readonly from: "journal" | "console";
  readonly lines: readonly string[];
}

/** The newest lines of a cell's journal; of one that has ended, what its console showed. @throws CELL_NOT_FOUND */
export async function readCellLogs(
  cells: Cells,
  reference: string,
  options: { readonly unit?: string; readonly lines: number },
): Promise<CellLogs> {
  const cell = cells.find(reference);
  const { name } = cell.state;
  if (cell.isAlive()) return { cell: name, from: "journal", lines: await cell.journal(options) };
  const lines = cell.console().split(/\r?\n/);
  return { cell: name, from: "console", lines: lines.slice(Math.max(0, lines.length - options.lines)) };
}
