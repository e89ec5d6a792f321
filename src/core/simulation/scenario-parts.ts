import { z } from "zod";
import { DURATION, parseDuration } from "../recipe/duration.ts";
import { parseAmount } from "../rollout/amount.ts";

// What the parts of a scenario are written in.

export const span = () =>
  z
    .string()
    .regex(DURATION, "must be a span such as 500ms, 90s, 10m or 1h30m")
    .transform((text) => parseDuration(text));
export const amount = () =>
  z.union([z.string(), z.number()]).transform((value, context) => {
    const parsed = parseAmount(value);
    if (parsed === undefined)
      context.addIssue({ code: "custom", message: `${JSON.stringify(value)} is no amount: write 3 or "10%"`, input: value });
    return parsed ?? { count: 0 };
  });
export const share = () => z.number().min(0).max(100);
export const name = () => z.string().min(1);
export const exempt = () =>
  z.array(name()).optional().describe("Images that may be rolled out all the same: new, and new-2 for the second");
