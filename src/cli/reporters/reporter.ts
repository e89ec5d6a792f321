import type { BakehouseEvent } from "../../core/events.ts";

/** Turns events into what people or programs see. `end` is called once, whatever happened. */
export interface Reporter {
  report(event: BakehouseEvent): void;
  end(): void;
}
