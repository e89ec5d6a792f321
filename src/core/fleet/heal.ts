import type { ImageDigest } from "../digest.ts";
import type { InstanceReport } from "./instance.ts";
import type { FleetSlot } from "./slots.ts";

/** What a fleet needs to be as it was declared, while no rollout is at it. */
export type Remedy =
  /** A machine for a slot that has none. `healing`: it had one, which died. */
  | { readonly kind: "launch"; readonly slot: FleetSlot; readonly image: ImageDigest; readonly why: string; readonly healing: boolean }
  /** One that is not well any more makes room for another. */
  | { readonly kind: "replace"; readonly slot: FleetSlot; readonly instance: string; readonly image: ImageDigest; readonly why: string }
  /** A machine that is given is there, and runs nothing that is known. */
  | { readonly kind: "bring"; readonly slot: FleetSlot; readonly instance: string; readonly image: ImageDigest; readonly why: string }
  /** Let in again: a process died between taking it out and letting it in. */
  | { readonly kind: "admit"; readonly slot: FleetSlot; readonly instance: string; readonly why: string }
  /** It is not needed: the fleet became smaller, or another took its slot. */
  | { readonly kind: "end"; readonly instance: string; readonly why: string };

export interface HealRequest {
  readonly slots: readonly FleetSlot[];
  readonly reports: readonly InstanceReport[];
  /** What a slot is to run; undefined: somebody is at it, or nothing is declared. */
  wants(slot: string): ImageDigest | undefined;
  /** Since when an instance has not been healthy, in milliseconds; undefined: it is, or nobody knows. */
  sickForMs(id: string): number | undefined;
  /** Replacements of the last {@link FLAP_MS}, by slot. */
  readonly healings: readonly { readonly slot: string }[];
  /** So many may be under way at once, those that are counted in. */
  readonly atOnce: number;
  readonly underWay: number;
  /** Whether machines can be made and ended. */
  readonly canReplace: boolean;
}

export interface Healed {
  readonly remedies: readonly Remedy[];
  /** What is wrong and not mended, and why not. */
  readonly left: readonly { readonly slot: string; readonly why: string }[];
}

/** How long an instance may be unhealthy before it is replaced: most get well by themselves. A guess. */
const SICK_MS = 30_000;
/** As many replacements of one slot within this time are flapping: another one does not help either. Guesses. */
export const FLAP_MS = 10 * 60_000;
const FLAPS = 3;

/**
 * What to do so that each slot has one healthy instance of what it is to run. Replacing the same slot again and again is no healing: after
 * three times in ten minutes it is left to people.
 */
export function healFleet(request: HealRequest): Healed {
  const remedies: Remedy[] = [];
  const left: { slot: string; why: string }[] = [];
  let room = request.atOnce - request.underWay;
  const bySlot = Map.groupBy(request.reports, ({ slot }) => slot);
  const flaps = (slot: string): number => request.healings.filter((healing) => healing.slot === slot).length;
  const declared = new Set(request.slots.map(({ slot }) => slot));
  for (const [slot, reports] of bySlot)
    if (!declared.has(slot) && request.canReplace)
      for (const { id } of reports) remedies.push({ kind: "end", instance: id, why: "the fleet has no such slot any more" });
  for (const slot of request.slots) {
    const image = request.wants(slot.slot);
    if (image === undefined) continue;
    const reports = bySlot.get(slot.slot) ?? [];
    const alive = reports
      .filter(({ bootedAt }) => bootedAt !== undefined)
      .toSorted((a, b) => Number(b.running === image) - Number(a.running === image));
    const isSick = (id: string): boolean => (request.sickForMs(id) ?? 0) >= SICK_MS;
    const dead = reports.filter(({ id, bootedAt, health }) => bootedAt === undefined && (health === "unhealthy" || isSick(id)));
    if (alive.length === 0 && dead.length < reports.length) continue; // one is being started
    const best =
      alive.find(({ health, serving }) => health === "healthy" && serving) ?? alive.find(({ health }) => health === "healthy") ?? alive[0];
    if (request.canReplace) {
      for (const { id } of dead) remedies.push({ kind: "end", instance: id, why: "it died" });
      for (const { id } of alive) if (id !== best?.id) remedies.push({ kind: "end", instance: id, why: `${best?.id ?? ""} has its slot` });
    }
    if (best !== undefined && best.running === undefined && !request.canReplace) {
      const why = best.why ?? "it runs nothing that is known";
      if (flaps(slot.slot) >= FLAPS)
        left.push({ slot: slot.slot, why: `tried ${flaps(slot.slot)} times in ${FLAP_MS / 60_000} minutes: ${why}` });
      else if (room-- <= 0) left.push({ slot: slot.slot, why: `${why}; ${request.atOnce} others are being mended` });
      else remedies.push({ kind: "bring", slot, instance: best.id, image, why });
      continue;
    }
    if (best?.health === "healthy" && !best.serving)
      remedies.push({ kind: "admit", slot, instance: best.id, why: "it is healthy and takes no traffic" });
    if (best !== undefined && !isSick(best.id)) continue;
    const healing = reports.length > 0 || flaps(slot.slot) > 0; // what died may have been ended meanwhile
    const why =
      best === undefined ? (healing ? (dead[0]?.why ?? "it died") : "the slot has no instance") : (best.why ?? "it is not healthy");
    if (!request.canReplace) left.push({ slot: slot.slot, why: `${why}; its machine cannot be replaced` });
    else if (healing && flaps(slot.slot) >= FLAPS)
      left.push({
        slot: slot.slot,
        why: `flapping: replaced ${flaps(slot.slot)} times in ${FLAP_MS / 60_000} minutes, the last time because ${why}`,
      });
    else if (room <= 0) left.push({ slot: slot.slot, why: `${why}; ${request.atOnce} others are being mended` });
    else {
      room -= 1;
      if (best === undefined) remedies.push({ kind: "launch", slot, image, why, healing });
      else remedies.push({ kind: "replace", slot, instance: best.id, image, why });
    }
  }
  return { remedies, left };
}
