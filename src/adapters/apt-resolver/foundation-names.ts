import type { PackageRequest } from "../../core/step.ts";
import type { AptSet } from "./apt-set.ts";
import type { Mark } from "./package-index.ts";

type Foundation = NonNullable<PackageRequest["foundation"]>;

const MARKS: Readonly<Record<Foundation["variant"], readonly Mark[]>> = {
  essential: ["essential"],
  minbase: ["essential", "required"],
  standard: ["essential", "required", "important", "standard"],
};

/**
 * What a variant starts from, as debootstrap and mmdebstrap have it: by Essential and Priority in the suite's own lists, not
 * those of updates or security, which carry only some packages. `usr-is-merged` says that /usr is merged already; without it
 * the resolver would choose `usrmerge`, which converts a system that is not, and brings Perl.
 */
export function foundationNames(foundation: Foundation, set: AptSet): readonly string[] {
  const lists = set.suites.filter(({ place }) => place.isDebian && place.suite === foundation.suite).flatMap((suite) => suite.lists);
  const marked = MARKS[foundation.variant].flatMap((mark) => lists.flatMap(({ index }) => index.marked(mark)));
  const named = [...(foundation.variant === "essential" ? [] : ["apt"]), "usr-is-merged"].filter((name) =>
    lists.some(({ index }) => index.find(name).length > 0),
  );
  return [...new Set([...marked, ...named])].sort();
}
