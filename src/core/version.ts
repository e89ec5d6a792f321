/** The version of this Bakehouse, as in package.json (a test compares them). Recorded in the lineage of every image. */
export const VERSION = "0.1.0";
