import type { NotifyTarget } from "../core/notices/target.ts";

export interface Message {
  /** Of the notice; the same in every try. */
  readonly id: string;
  readonly type: string;
  /** The notice as JSON, on one line. */
  readonly body: string;
}

/** Where a target's paths and secrets are found. */
export interface MessengerSurroundings {
  /** The recipe's folder. */
  readonly folder: string;
  /** Value of the secret that signs. */
  readonly secret?: string;
  readonly signal: AbortSignal;
}

/** Hands messages to whoever wants to know. */
export interface Messenger {
  /** One try. @throws Error that says why it was not taken */
  send(message: Message, to: NotifyTarget["to"], options: MessengerSurroundings): Promise<void>;
}
