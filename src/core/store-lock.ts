/**
 * Held by what adds to a store before an index entry names it (imports, papers) and by what takes away (gc, repairs). Bakes do not
 * hold it: they say in the catalog that they run, which gc looks at.
 */
export const STORE_CONTENT_LOCK = "store-content";
