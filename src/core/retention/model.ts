/** What stays of one layer's images. Either rule alone keeps an image. */
export interface RetentionRules {
  /** How many of the newest. */
  readonly keep?: number;
  readonly youngerThanMs?: number;
}

/**
 * `retention:` of a recipe. Besides these rules an image stays while a name, a channel, a cell, a mount or a running bake
 * uses it, or an image that stays stands on it.
 */
export interface Retention extends RetentionRules {
  /** What goes is set aside for so long, and can be brought back. 0: it goes at once. */
  readonly graceMs: number;
  /** By channel: how many of the images that it pointed at, the one of now included. */
  readonly channels: Readonly<Record<string, number>>;
  /** By layer; what a layer does not say, the recipe's own rules say. */
  readonly layers: Readonly<Record<string, RetentionRules>>;
}
