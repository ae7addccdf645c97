// Values from values: links as undirected tracks, paths as hops. Nothing here fetches or draws.
import type { Link, Node, Path } from './controller';

// What one pair of lines is worth: as bad as the worse of its two ends reports.
export interface Track {
  key: string;
  a: string;
  b: string;
  a_plane: number;
  b_plane: number;
  rtt_us: number;
  loss_ppm: number;
  jitter_us: number;
  state: 'usable' | 'failed' | 'unknown';
}

export const linkKey = (l: Link) => `${l.from}|${l.to}|${l.from_plane}|${l.to_plane}`;

function undirected(l: Link): [string, string, number, number] {
  return l.from < l.to ? [l.from, l.to, l.from_plane, l.to_plane] : [l.to, l.from, l.to_plane, l.from_plane];
}

export const trackKey = (l: Link) => undirected(l).join('|');

// Lines of different planes usually cannot reach each other: such a pair is a track only once it was seen usable
// (`seen`, by track key). A track of one plane that is dead has failed.
export function tracksOf(links: Link[], seen: ReadonlySet<string>): Track[] {
  const tracks = new Map<string, Track>();
  for (const l of links) {
    const [a, b, a_plane, b_plane] = undirected(l);
    const key = trackKey(l);
    if (a_plane !== b_plane && l.state !== 'usable' && !seen.has(key)) continue;
    const state = l.state === 'usable' ? 'usable' : l.state === 'dead' ? 'failed' : 'unknown';
    const known = tracks.get(key);
    if (!known) {
      tracks.set(key, { key, a, b, a_plane, b_plane, rtt_us: l.rtt_us, loss_ppm: l.loss_ppm, jitter_us: l.jitter_us, state });
      continue;
    }
    known.rtt_us = Math.max(known.rtt_us, l.rtt_us);
    known.loss_ppm = Math.max(known.loss_ppm, l.loss_ppm);
    known.jitter_us = Math.max(known.jitter_us, l.jitter_us);
    if (state === 'failed' || known.state === 'usable') known.state = state;
  }
  return [...tracks.values()].sort((x, y) => x.key.localeCompare(y.key));
}

export interface Hop {
  from: string;
  to: string;
  plane: number | null; // by which it leaves `from`; null: left to that node
}

// "n4099:x1" says by which line the relay sends on; the first hop's plane is the path's own.
export function hopsOf(path: Path): Hop[] {
  const hops: Hop[] = [];
  let from = path.from;
  path.names.forEach((to, i) => {
    const chosen = i === 0 ? path.first_plane : Number(/:x(\d+)$/.exec(path.segments[i - 1] ?? '')?.[1] ?? NaN);
    hops.push({ from, to, plane: Number.isNaN(chosen) ? null : chosen });
    from = to;
  });
  return hops;
}

export const via = (path: Path) => (path.names.length > 1 ? path.names.slice(0, -1).join(' → ') : 'direct');

// Does this hop go over this track?
export function carries(track: Track, hop: Hop): boolean {
  const forward = track.a === hop.from && track.b === hop.to;
  const backward = track.b === hop.from && track.a === hop.to;
  if (!forward && !backward) return false;
  return hop.plane === null || hop.plane === (forward ? track.a_plane : track.b_plane);
}

// Names of planes, as boxes call their lines.
export function planesOf(nodes: Node[]): Map<number, string> {
  const planes = new Map<number, string>();
  for (const node of nodes)
    for (const line of node.lines) if (!planes.get(line.plane)) planes.set(line.plane, line.name || `plane ${line.plane}`);
  return new Map([...planes].sort(([a], [b]) => a - b));
}
