/**
 * What a run does, in this order. Each stage may be done again after a crash: done twice, it gives the same. The lock that a run
 * moved is baked with before it is published, so that a run which fails leaves the recipe's own lock as it was.
 */
export const STAGES = ["lock", "bake", "check", "papers", "publish", "promote"] as const;
export type StageName = (typeof STAGES)[number];
