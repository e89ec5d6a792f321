/** Values of which the least is at hand, in the order that is given (a binary heap). */
export class Heap<Value> {
  private readonly values: Value[] = [];
  private readonly isBefore: (a: Value, b: Value) => boolean;

  constructor(isBefore: (a: Value, b: Value) => boolean) {
    this.isBefore = isBefore;
  }

  get first(): Value | undefined {
    return this.values[0];
  }

  push(value: Value): void {
    const { values, isBefore } = this;
    let at = values.push(value) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = values[above] as Value;
      if (!isBefore(value, parent)) break;
      values[at] = parent;
      at = above;
    }
    values[at] = value;
  }

  pop(): Value | undefined {
    const { values, isBefore } = this;
    const [first] = values;
    const last = values.pop();
    if (last === undefined || values.length === 0) return first;
    let at = 0;
    for (let below = 1; below < values.length; below = 2 * at + 1) {
      if (below + 1 < values.length && isBefore(values[below + 1] as Value, values[below] as Value)) below += 1;
      const child = values[below] as Value;
      if (!isBefore(child, last)) break;
      values[at] = child;
      at = below;
    }
    values[at] = last;
    return first;
  }
}
