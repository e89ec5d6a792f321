import { mirrorText, platformText, type CakeComparison, type CakeFigures } from "./comparison.ts";

const CAKES: Readonly<Record<CakeFigures["cake"], { readonly colour: string; readonly what: string }>> = {
  baked: { colour: "#2f7d4f", what: "everything is baked" },
  software: { colour: "#c98a1b", what: "the app is fetched at launch" },
  boot: { colour: "#b5432f", what: "everything is installed at launch" },
};

/** A page of its own: style and chart are in it, and it loads nothing. */
export const comparisonPage = (comparison: CakeComparison): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>How long until a machine answers</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ddd }
  td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
  .failed { color: #b5432f; font-weight: 600 }
  svg { width: 100%; height: auto }
  svg text { font: 14px system-ui, sans-serif; fill: #222 }
</style>
<h1>How long until a machine answers</h1>
${platformsOf(comparison)
  .map((figures) => section(figures))
  .join("\n")}
${failures(comparison.figures)}
</html>
`;

/** Figures of one platform each: seconds of a cell and of an emulated machine do not belong on one scale. */
const platformsOf = ({ figures }: CakeComparison): readonly (readonly CakeFigures[])[] => [
  ...Map.groupBy(figures, ({ platform }) => platform).values(),
];

function section(figures: readonly CakeFigures[]): string {
  const [first] = figures;
  const runs = first?.runs.length ?? 0;
  const what = platformText(first?.platform ?? "cell");
  return `<h2>As a ${what}</h2>
<p>Each cake was launched ${runs} ${runs === 1 ? "time" : "times"} as a ${what}, from nothing to the first healthy answer.</p>
${chart(figures)}
<table>
<tr><th>cake</th><th>mirror</th><th class="number">median</th><th class="number">95 %</th><th class="number">fetched</th><th class="number">failures</th></tr>
${figures.map(row).join("\n")}
</table>`;
}

const row = ({ recipe, cake, mirror, medianMs, p95Ms, fetchedBytes, failures: failed, runs }: CakeFigures): string =>
  `<tr><td title="${escape(recipe)}">${cake}: ${CAKES[cake].what}</td><td>${mirrorText(mirror)}</td>` +
  `<td class="number">${seconds(medianMs)}</td><td class="number">${seconds(p95Ms)}</td>` +
  `<td class="number">${megabytes(fetchedBytes)}</td>` +
  `<td class="number${failed === 0 ? "" : " failed"}">${failed} of ${runs.length}</td></tr>`;

const ROW = 34;
const LEFT = 250;
const WIDTH = 560;
const RIGHT = 110;

/** A bar for the median, a whisker to the 95th percentile. */
function chart(figures: readonly CakeFigures[]): string {
  const longest = Math.max(1, ...figures.map(({ p95Ms = 0 }) => p95Ms));
  const at = (ms: number): number => Math.round((ms / longest) * WIDTH);
  const bars = figures.map((each, index) => {
    const y = index * ROW + 8;
    const label = `<text x="${LEFT - 10}" y="${y + 16}" text-anchor="end">${each.cake}, ${mirrorText(each.mirror)}</text>`;
    if (each.medianMs === undefined || each.p95Ms === undefined)
      return `${label}<text x="${LEFT}" y="${y + 16}" style="fill:${CAKES.boot.colour}">never ready</text>`;
    const [median, most] = [at(each.medianMs), at(each.p95Ms)];
    return (
      `${label}<rect x="${LEFT}" y="${y}" width="${Math.max(2, median)}" height="22" fill="${CAKES[each.cake].colour}"/>` +
      `<line x1="${LEFT + median}" x2="${LEFT + most}" y1="${y + 11}" y2="${y + 11}" stroke="#222"/>` +
      `<text x="${LEFT + most + 8}" y="${y + 16}">${seconds(each.medianMs)}</text>`
    );
  });
  const height = figures.length * ROW + 10;
  return `<svg viewBox="0 0 ${LEFT + WIDTH + RIGHT} ${height}" role="img" aria-label="Seconds until ready, for each cake">${bars.join("\n")}</svg>`;
}

function failures(figures: readonly CakeFigures[]): string {
  const reasons = figures.flatMap(({ cake, platform, mirror, runs }) =>
    [...new Set(runs.flatMap(({ failure }) => failure ?? []))].map(
      (reason) => `<li>${cake} as a ${platformText(platform)}, ${mirrorText(mirror)}: ${escape(reason)}</li>`,
    ),
  );
  return reasons.length === 0 ? "" : `<h2>Why some never answered</h2>\n<ul>\n${reasons.join("\n")}\n</ul>`;
}

const seconds = (ms: number | undefined): string => (ms === undefined ? "never" : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`);
const megabytes = (bytes: number): string => (bytes < 100_000 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

const escape = (text: string): string => text.replace(/[&<>"']/g, (letter) => `&#${letter.codePointAt(0) ?? 0};`);
