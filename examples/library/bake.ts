/**
 * Bakes an image from a recipe written in TypeScript.
 *
 *     node examples/library/bake.ts STORE FOLDER
 *
 * STORE keeps the images; FOLDER is where the recipe stands: its lock is written there.
 */
import { BakehouseError, createBakehouse, recipe } from "bakehouse";

const [store = ".bakehouse", folder = "."] = process.argv.slice(2);

const greeter = recipe("greeter")
  .parameter("greeting", { type: "string", default: "hello" })
  .layer("foundation", (layer) => layer.debian({ suite: "bookworm" }))
  .layer("release", (layer) =>
    layer
      .from("foundation")
      .file({ path: "/etc/motd", content: "{{greeting}}\n" })
      .run("test -s /etc/motd")
      .image({ labels: { greeting: "{{greeting}}" } }),
  );

const bakehouse = createBakehouse({ store });
try {
  const loaded = bakehouse.define(greeter, { folder, parameters: { greeting: "good morning" } });
  const { written } = await bakehouse.lock(loaded);
  console.log(written ? "locked" : "the lock is up to date");
  const result = await bakehouse.bake(loaded, {
    onEvent: (event) => {
      if (event.type === "step-baked") console.log(`${event.step} in ${Math.round(event.durationMs)} ms`);
    },
  });
  for (const image of result.images) console.log(`${image.name} ${image.digest}`);
} catch (error) {
  if (!(error instanceof BakehouseError)) throw error;
  console.error(`${error.code} ${error.message}`);
  process.exitCode = 1;
} finally {
  await bakehouse.close();
}
