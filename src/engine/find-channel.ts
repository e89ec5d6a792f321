import type { ChannelPolicy } from "../core/audit/record.ts";
import type { Channel } from "../core/channel/model.ts";
import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS, type IndexEntry } from "../core/image/oci.ts";
import { didYouMean } from "../core/text/did-you-mean.ts";
import type { Ledger } from "../ports/ledger.ts";
import { nameOf } from "./find-image.ts";

export interface FoundChannel {
  readonly channel: Channel;
  readonly policy: ChannelPolicy;
  /** Of the record that declared it. */
  readonly sequence: number;
}

/** A channel as the recipe of an image declares it. @throws CHANNEL_NOT_FOUND */
export async function findChannel(ledger: Ledger, entry: IndexEntry, name: string): Promise<FoundChannel> {
  const recipe = entry.annotations[ANNOTATIONS.recipe] ?? nameOf(entry).split("/")[0] ?? "";
  const declared = await ledger.policy(recipe);
  const channels = declared?.policy.channels ?? [];
  const channel = channels.find((each) => each.name === name);
  if (declared !== undefined && channel !== undefined) return { channel, policy: declared.policy, sequence: declared.sequence };
  const names = channels.map((each) => each.name);
  const near = didYouMean(name, names);
  throw new BakehouseError(
    "CHANNEL_NOT_FOUND",
    names.length === 0
      ? `The recipe ${JSON.stringify(recipe)} of ${nameOf(entry)} declares no channels`
      : `The recipe ${JSON.stringify(recipe)} has no channel ${JSON.stringify(name)}`,
    {
      hint:
        names.length === 0
          ? "write `channels:` into it, then bake, or promote from its folder"
          : near === undefined
            ? `its channels: ${names.join(", ")}`
            : `did you mean ${near}?`,
      details: { recipe, channel: name, channels: names },
    },
  );
}
