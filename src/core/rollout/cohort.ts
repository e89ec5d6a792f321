/** A number from 0 up to 2^53 that looks random and depends on the text alone: two rounds of 32-bit mixing (as in MurmurHash3). */
export function hashText(text: string): number {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    high = Math.imul(high ^ code, 2_654_435_761);
    low = Math.imul(low ^ code, 1_597_334_677);
  }
  high = Math.imul(high ^ (high >>> 16), 2_246_822_507) ^ Math.imul(low ^ (low >>> 13), 3_266_489_909);
  low = Math.imul(low ^ (low >>> 16), 2_246_822_507) ^ Math.imul(high ^ (high >>> 13), 3_266_489_909);
  return 4_294_967_296 * (2_097_151 & low) + (high >>> 0);
}

/** Where an instance stands in the order, if its fleet says so: canaries that are always asked first, and what goes last. */
export type Ring = "first" | "never-first";

export interface Candidate {
  readonly id: string;
  readonly zone: string;
  readonly ring?: Ring;
  /** Those that are out of order go before the others: moving them takes nothing from anybody, and they use up the budget meanwhile. */
  readonly healthy: boolean;
  /** It could not be asked. Those go last, whatever their ring: a wave of them alone would try nothing. */
  readonly silent?: boolean;
}

/**
 * The order in which a release reaches a fleet: made from instance, digest and salt, so that it is another one for each release (no
 * machine is the canary for ever) and the same whenever it is made again. Zones are spread evenly over it, whatever their sizes.
 */
export function cohortOrder<Instance extends Candidate>(
  instances: readonly Instance[],
  release: { readonly digest: string; readonly salt: string },
): readonly Instance[] {
  const zones = new Map<string, { readonly instance: Instance; readonly hash: number }[]>();
  for (const instance of instances) {
    const zone = zones.get(instance.zone) ?? [];
    if (zone.length === 0) zones.set(instance.zone, zone);
    zone.push({ instance, hash: hashText(`${instance.id}\n${release.digest}\n${release.salt}`) });
  }
  const placed = [...zones].flatMap(([zone, members]) => {
    members.sort((a, b) => rank(a.instance) - rank(b.instance) || a.hash - b.hash || (a.instance.id < b.instance.id ? -1 : 1));
    // a zone begins anywhere within its first step, so that not every zone has its first machine in the first wave
    const offset = (hashText(`${zone}\n${release.digest}\n${release.salt}`) % 997) / 997;
    return members.map(({ instance }, index) => ({ instance, at: (index + offset) / members.length }));
  });
  placed.sort((a, b) => rank(a.instance) - rank(b.instance) || a.at - b.at || (a.instance.id < b.instance.id ? -1 : 1));
  return placed.map(({ instance }) => instance);
}

function rank({ ring, healthy, silent = false }: Candidate): number {
  if (silent) return 4;
  if (ring === "first") return 0;
  if (ring === "never-first") return 3;
  return healthy ? 2 : 1;
}
