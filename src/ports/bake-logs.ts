/** What bakes left in their logs. */
export interface BakeLogs {
  /** Bake ids that have a log, newest first. */
  list(): readonly string[];
  /** Complete lines of the text log from byte `from`, and where the next begins. */
  readText(bake: string, from: number): { readonly lines: readonly string[]; readonly next: number };
  /** Events as they were written, without those that cannot be read. */
  readEvents(bake: string): readonly unknown[];
  /** Where it is on disk, for people. */
  path(bake: string): string;
}
