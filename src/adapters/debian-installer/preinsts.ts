import { isIdleAtFirst, type Preinst } from "../../core/debian/dpkg-script.ts";
import { contentOf, type BinaryPackage } from "./binary-package.ts";
import { DATABASE } from "./dpkg-database.ts";
import type { EntryWriter } from "./write-entries.ts";

/** Gives every preinst that does something at a first installation the folder that dpkg would run it from. */
export function placePreinsts(packages: readonly BinaryPackage[], writer: EntryWriter): readonly Preinst[] {
  const acting = packages.filter((pack) => {
    const script = contentOf(pack.control, "preinst");
    return script !== undefined && !isIdleAtFirst(script.toString("utf8"));
  });
  return acting.map((pack, index) => {
    const controlFolder = `bakehouse.ci.${index}`;
    for (const member of pack.control) writer.addFile(`${DATABASE}/${controlFolder}/${member.name}`, member.content, member);
    return { packageName: pack.name, architecture: pack.architecture, controlFolder };
  });
}
