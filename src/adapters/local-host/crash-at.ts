import type { ReachPoint } from "../../ports/crash-points.ts";

const goOn: ReachPoint = () => undefined;

/**
 * Ends this process as `kill -9` would when a bake comes to a point.
 *
 * @param setting  `$BAKEHOUSE_CRASH_AT`, for tests: `<point>` or `<point>@<step or layer>`; absent, nothing happens anywhere
 */
export function crashAt(setting: string | undefined): ReachPoint {
  if (setting === undefined || setting === "") return goOn;
  const [point, place] = setting.split("@");
  return (reached, where) => {
    if (reached === point && (place === undefined || place === where)) process.kill(process.pid, "SIGKILL");
  };
}
