// The world under the nodes: projects it so that they fill the picture, and keeps nodes of one place apart.
import { geoEqualEarth, geoPath, type GeoProjection } from 'd3-geo';
import { feature, mesh } from 'topojson-client';
import world from 'world-atlas/countries-110m.json';
import type { Node } from './controller';
import { placeOf } from './places';

const kApart = 66; // pixels between two nodes at least
const kLeastSpan = 14; // degrees: a single city does not fill the picture with itself
// eslint-disable-next-line @typescript-eslint/no-explicit-any
const topology = world as any;
const land = feature(topology, topology.objects.land);
const borders = mesh(topology, topology.objects.countries, (a: unknown, b: unknown) => a !== b);

export interface Spot {
  x: number;
  y: number;
}

export interface Ground {
  land: string; // SVG path data
  borders: string;
  spots: Map<string, Spot>;
}

function projectionFor(places: [number, number][], width: number, height: number): GeoProjection {
  const projection = geoEqualEarth();
  if (places.length === 0) return projection.fitSize([width, height], { type: 'Sphere' });
  const xs = places.map((p) => p[0]);
  const middle = (Math.min(...xs) + Math.max(...xs)) / 2;
  projection.rotate([-middle, 0]);
  const ys = places.map((p) => p[1]);
  const dx = Math.max(kLeastSpan, Math.max(...xs) - Math.min(...xs)) / 2;
  const y = (Math.min(...ys) + Math.max(...ys)) / 2;
  const dy = Math.max(kLeastSpan / 2, Math.max(...ys) - Math.min(...ys)) / 2;
  const corners = [-1, 1].flatMap((sx) => [-1, 1].map((sy) => [middle + sx * dx, Math.max(-80, Math.min(80, y + sy * dy))]));
  const margin = Math.min(width, height) * 0.16;
  return projection.fitExtent([[margin, margin], [width - margin, height - margin]], { type: 'MultiPoint', coordinates: corners });
}

// Pushes spots that lie too near each other apart, a little at a time; the same input gives the same picture.
function spread(spots: Spot[], width: number, height: number): void {
  for (let round = 0; round < 60; ++round) {
    let moved = false;
    spots.forEach((p, i) => {
      for (let j = i + 1; j < spots.length; ++j) {
        const q = spots[j];
        let dx = q.x - p.x, dy = q.y - p.y;
        const distance = Math.hypot(dx, dy);
        if (distance >= kApart) continue;
        if (distance < 1) (dx = Math.cos(i * 2.4 + j)), (dy = Math.sin(i * 2.4 + j));
        const push = (kApart - distance) / 2 / Math.max(1, Math.hypot(dx, dy));
        p.x -= dx * push, p.y -= dy * push, q.x += dx * push, q.y += dy * push;
        moved = true;
      }
    });
    for (const p of spots) {
      p.x = Math.max(40, Math.min(width - 40, p.x));
      p.y = Math.max(30, Math.min(height - 40, p.y));
    }
    if (!moved) return;
  }
}

export function groundFor(nodes: Node[], width: number, height: number): Ground {
  const placed = nodes.map((node) => ({ node, place: placeOf(node.location) }));
  const known = placed.flatMap((p) => (p.place ? [p.place] : []));
  const projection = projectionFor(known, width, height).clipExtent([[-2, -2], [width + 2, height + 2]]);
  const draw = geoPath(projection).digits(1);
  let nowhere = 0;
  const spots = placed.map(({ place }) => {
    const at = place && projection(place);
    return at ? { x: at[0], y: at[1] } : { x: 60 + (nowhere++ * 90) % Math.max(90, width - 120), y: height - 40 };
  });
  spread(spots, width, height);
  return {
    land: draw(land) ?? '',
    borders: draw(borders) ?? '',
    spots: new Map(nodes.map((node, i) => [node.name, spots[i]])),
  };
}
