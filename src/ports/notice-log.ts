import type { Notice } from "../core/notices/notice.ts";

/** A notice, and who is to be told: names under `notify:` of the recipe at `file`. */
export interface NoticeToSend {
  readonly notice: Notice;
  readonly file: string;
  readonly targets: readonly string[];
}

export interface Delivery {
  readonly notice: Notice;
  readonly file: string;
  readonly target: string;
  /** `pending`: not tried yet, or to be tried again. `failed`: given up. */
  readonly outcome: "pending" | "delivered" | "failed";
  readonly attempts: number;
  readonly message?: string;
}

/** Everything that happened, and what became of telling it. */
export interface NoticeLog {
  /** What is there already, by its id, stays as it is. */
  add(notices: readonly NoticeToSend[]): Promise<void>;
  /** Oldest first. */
  pending(limit: number): Promise<readonly Delivery[]>;
  settle(delivery: Pick<Delivery, "notice" | "file" | "target" | "outcome" | "attempts" | "message">): Promise<void>;
  /** The greatest id that begins so. */
  lastId(prefix: string): Promise<string | undefined>;
  /** Newest first, with what became of each. */
  list(limit: number): Promise<readonly { readonly notice: Notice; readonly deliveries: readonly Omit<Delivery, "notice">[] }[]>;
}
