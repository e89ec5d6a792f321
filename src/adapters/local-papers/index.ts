export { localPapers } from "./local-papers.ts";
