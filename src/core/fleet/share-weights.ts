/** HAProxy takes weights from 0 to 256 (configuration.txt 5.2); others take fewer steps. */
const MOST = 256;

/**
 * Weights for each instance so that those on the target get a share together.
 *
 * @param percent  0–100, of all requests
 * @returns whole numbers from 0 to 256; as near to the share as those allow
 */
export function shareWeights(percent: number, targets: number, others: number): { readonly target: number; readonly others: number } {
  if (targets === 0 || others === 0) return { target: 100, others: 100 };
  if (percent <= 0) return { target: 0, others: 100 };
  if (percent >= 100) return { target: 100, others: 0 };
  const each = percent / targets;
  const rest = (100 - percent) / others;
  const scale = MOST / Math.max(each, rest);
  return { target: Math.max(1, Math.round(each * scale)), others: Math.max(1, Math.round(rest * scale)) };
}
