export { localCells } from "./cells.ts";
