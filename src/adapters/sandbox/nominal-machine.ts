import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const GIB_KIB = 1024 * 1024;

/**
 * What a step sees of the machine that it runs on: always the same one, with one processor and 2 GiB, so that a package
 * or script that sizes something by the machine does not put the baker's machine into the image.
 */
const FILES: Readonly<Record<string, (epochSeconds: number) => string>> = {
  "/proc/cpuinfo": () =>
    "processor\t: 0\nvendor_id\t: Bakehouse\nmodel name\t: nominal x86-64\ncpu MHz\t\t: 1000.000\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nflags\t\t: fpu sse sse2\n\n",
  "/proc/stat": (epochSeconds) =>
    `cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nintr 0\nctxt 0\nbtime ${epochSeconds}\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n`,
  "/proc/meminfo": () =>
    `MemTotal:       ${2 * GIB_KIB} kB\nMemFree:        ${GIB_KIB} kB\nMemAvailable:   ${GIB_KIB} kB\nBuffers:               0 kB\nCached:                0 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n`,
  "/proc/loadavg": () => "0.00 0.00 0.00 1/1 1\n",
  "/proc/uptime": () => "1.00 1.00\n",
};

/** Writes the files into a folder that the holder sees; returns where each is to appear. */
export function nominalMachine(
  inside: string,
  outside: string,
  epochSeconds: number,
): readonly { readonly hostPath: string; readonly path: string; readonly readOnly: true }[] {
  mkdirSync(outside, { recursive: true });
  return Object.entries(FILES).map(([path, content]) => {
    const name = path.slice("/proc/".length);
    writeFileSync(join(outside, name), content(epochSeconds));
    return { hostPath: join(inside, name), path, readOnly: true };
  });
}

/** The processors that this process may use, of `Cpus_allowed_list`: `0-3,8` gives 0, 1, 2, 3, 8. */
export const listOfProcessors = (text: string): readonly number[] =>
  text
    .trim()
    .split(",")
    .flatMap((range) => {
      const [first = 0, last = first] = range.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
