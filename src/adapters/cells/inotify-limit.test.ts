import { readFileSync } from "node:fs";
import { afterEach, expect, it } from "vitest";
import { cellsWithCgroups, makeCgroups, removeCgroups } from "./cgroups.ts";
import { makeRoomForCells, restoreLimit } from "./inotify-limit.ts";

const limit = (): number => Number(readFileSync("/proc/sys/fs/inotify/max_user_instances", "utf8"));
const ids = Array.from({ length: 40 }, (_, index) => `limit-${process.pid}-${index}`);

afterEach(async () => {
  for (const id of ids) await removeCgroups(id);
  restoreLimit();
});

it("the limit of inotify instances is raised for many cells, and put back when the last one is gone", async () => {
  const before = limit();
  for (const id of ids) makeCgroups(id);
  makeRoomForCells();
  expect(limit()).toBeGreaterThanOrEqual(ids.length * 8);
  expect(restoreLimit()).toBe(false); // there are cells
  for (const id of ids) await removeCgroups(id);
  restoreLimit();
  // other tests may have cells at this moment; the last of them puts it back
  if (cellsWithCgroups().length === 0) expect(limit()).toBeLessThanOrEqual(before);
  expect(cellsWithCgroups().filter((id) => ids.includes(id))).toEqual([]);
});
