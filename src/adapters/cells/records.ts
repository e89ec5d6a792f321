import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { CellState } from "../../ports/cells.ts";
import type { Owner, Store } from "../../ports/store.ts";
import { namesIn, readJsonIfThere } from "../local-store/files.ts";
import { isAlive } from "../local-store/owners.ts";

/**
 * What lies on disk of a cell. The record is written before anything else is made, so that whatever is made can be found:
 *
 *     <store>/cells/<id>/cell.json     a CellRecord
 *     <store>/cells/<id>/keeper.json   Owner: the process that holds mounts, network and machine
 *     <store>/cells/<id>/ready         by the keeper: /proc/uptime when systemd had started everything
 *     <store>/cells/<id>/stopping      by the keeper: somebody asked it to stop
 *     <store>/cells/<id>/ended         by the keeper: exit code of the machine
 *     <store>/cells/<id>/console egress    by the keeper: what the machine showed, and tried
 *
 * Outside of the store: the cgroups `bakehouse-cell-<id>`. All else belongs to the keeper's namespaces and goes with it.
 */
export interface CellRecord extends Omit<CellState, "status"> {
  /** /proc/uptime then, in seconds: what boot times are measured from. */
  readonly startedUptime: number;
  readonly owner: Owner;
}

export interface CellFolder {
  readonly folder: string;
  readonly record: CellRecord;
}

const CELLS = "cells";

export const cellFolderOf = (store: Store, id: string): string => store.path(CELLS, id);

export const writeRecord = (store: Store, record: CellRecord): void => store.writeNote(`${CELLS}/${record.id}/cell.json`, record);

/** As it is by now: another process may have exchanged its volume. */
export const recordOf = (store: Store, known: CellRecord): CellRecord =>
  (store.readNote(`${CELLS}/${known.id}/cell.json`) as CellRecord | undefined) ?? known;

export const writeKeeper = (store: Store, id: string, keeper: Owner): void => store.writeNote(`${CELLS}/${id}/keeper.json`, keeper);

/** All that have a record, the oldest first. */
export const cellFolders = (store: Store): readonly CellFolder[] =>
  namesIn(store.path(CELLS))
    .flatMap((id): readonly CellFolder[] => {
      const record = store.readNote(`${CELLS}/${id}/cell.json`) as CellRecord | undefined;
      return record?.id === id ? [{ folder: cellFolderOf(store, id), record }] : [];
    })
    .sort((a, b) => a.record.startedUptime - b.record.startedUptime || (a.record.startedAt < b.record.startedAt ? -1 : 1));

/** Folders whose maker died before it had written what it is. */
export const cellsWithoutRecord = (store: Store): readonly string[] => {
  const known = new Set(cellFolders(store).map(({ record }) => record.id));
  return namesIn(store.path(CELLS)).filter((id) => !known.has(id));
};

export const removeCellFolder = (store: Store, id: string): void => rmSync(cellFolderOf(store, id), { recursive: true, force: true });

export const keeperOf = (folder: string): Owner | undefined => {
  const keeper = readJsonIfThere(join(folder, "keeper.json")) as Owner | undefined;
  return keeper !== undefined && isAlive(keeper) ? keeper : undefined;
};

/** Whether somebody still holds it: its keeper, or before there is one, the process that starts it. */
export const isHeld = ({ folder, record }: CellFolder): boolean =>
  existsSync(join(folder, "keeper.json")) ? keeperOf(folder) !== undefined : isAlive(record.owner);

export function stateOf(cell: CellFolder): CellState {
  const { owner: _owner, startedUptime: _uptime, ...state } = cell.record;
  const has = (name: string): boolean => existsSync(join(cell.folder, name));
  if (!isHeld(cell)) return { ...state, status: has("stopping") ? "stopped" : "died" };
  return { ...state, status: has("ready") ? "running" : "starting" };
}

/** Milliseconds from start until systemd had started everything; undefined while it has not. */
export function bootMsOf({ folder, record }: CellFolder): number | undefined {
  const ready = existsSync(join(folder, "ready")) ? Number(readFileSync(join(folder, "ready"), "utf8")) : Number.NaN;
  return Number.isFinite(ready) ? Math.max(0, Math.round((ready - record.startedUptime) * 1000)) : undefined;
}

/** Seconds since boot (proc(5), /proc/uptime). */
export const uptimeSeconds = (): number => Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
