import type { NoticeType } from "./notice.ts";

/** Where notices go: one entry of `notify:`. */
export interface NotifyTarget {
  readonly name: string;
  readonly to:
    | { readonly kind: "webhook"; readonly url: string; /** Name of the secret that signs the body. */ readonly secret?: string }
    | { readonly kind: "command"; readonly argv: readonly string[] }
    | { readonly kind: "file"; /** Relative to the recipe's folder. */ readonly path: string };
  /** Types, `cycle.*`, or `*`; all when empty. */
  readonly events: readonly string[];
  /** Of one try. */
  readonly timeoutMs: number;
  readonly retries: number;
}

export const wants = ({ events }: NotifyTarget, type: NoticeType): boolean =>
  events.length === 0 ||
  events.some((event) => event === "*" || event === type || (event.endsWith(".*") && type.startsWith(event.slice(0, -1))));
