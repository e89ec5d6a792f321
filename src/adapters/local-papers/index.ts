export { localPapers } from "./local-papers.ts";
export { readPaper } from "./read-paper.ts";
