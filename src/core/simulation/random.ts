import { hashText } from "../rollout/cohort.ts";

/** Numbers from 0 up to 1 that depend on the seed alone (Marsaglia's xorshift, 32 bits). */
export class Random {
  private state: number;

  constructor(seed: string) {
    this.state = hashText(seed) >>> 0 || 1;
  }

  next(): number {
    let { state } = this;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.state = state >>> 0;
    return this.state / 4_294_967_296;
  }

  /** True in so many of a hundred. */
  percent(share: number): boolean {
    return this.next() * 100 < share;
  }

  between(least: number, most: number): number {
    return least + this.next() * (most - least);
  }
}
