import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bakeExample, type BakedExample } from "../test/cells/bake-example.ts";
import { bootCell, type Cell } from "../test/cells/boot-cell.ts";

describe("Tomcat with a war", () => {
  let baked: BakedExample;
  let cell: Cell;
  beforeAll(async () => {
    baked = await bakeExample("examples/tomcat");
    cell = await bootCell({ store: baked.bakehouse.parts.store, image: "tomcat/release" });
  });
  afterAll(async () => {
    await cell?.stop();
    await baked?.dispose();
  });

  it("serves its pages", async () => {
    const page = await cell.fetch("http://127.0.0.1:8080/");
    expect(page).toMatchObject({ status: 200, body: expect.stringContaining("<li>Rye loaf</li>") });
    expect(page.body).toContain("Apache Tomcat/10");
  });

  it("runs with the heap that the recipe says", async () => {
    expect(JSON.parse((await cell.fetch("http://127.0.0.1:8080/health")).body)).toEqual({ status: "ok", maxHeap: 128 });
  });

  it("is one war, which nothing unpacks", async () => {
    expect(await cell.run("ls", "/srv/app", "/var/lib/tomcat10/webapps")).toBe("/srv/app:\nbakery.war\n\n/var/lib/tomcat10/webapps:\n");
  });

  it("has a war that is what make-war.py makes of its sources", () => {
    const before = readFileSync(join(baked.folder, "bakery.war"));
    execFileSync("python3", [join(baked.folder, "make-war.py")]);
    expect(readFileSync(join(baked.folder, "bakery.war")).equals(before)).toBe(true);
  });
});
