/** The version of this Bakehouse, as in package.json (a test compares them). Recorded in the lineage of every image. */
export const VERSION = "0.1.0";

declare const BAKEHOUSE_BUILD: string | undefined;

/** Names the sources that this was built from; undefined where they run as they are. */
export const BUILD: string | undefined = typeof BAKEHOUSE_BUILD === "undefined" ? undefined : BAKEHOUSE_BUILD;
