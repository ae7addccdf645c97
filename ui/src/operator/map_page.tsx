// The network as it is now: nodes where they stand, a line per plane between each two, what the paths take, what failed.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { ms, percent } from '../shell/format';
import { href } from '../shell/route';
import { Card, Heading } from '../shell/shell';
import { kTiers, type Path, type Tier } from './controller';
import { groundFor, type Spot } from './geography';
import { nodes, paths, planes, tracks } from './live';
import { carries, hopsOf, type Track, via } from './topology';

const kHeight = 520;

function useWidth(): [preact.RefObject<HTMLDivElement>, number] {
  const host = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(900);
  useEffect(() => {
    const observer = new ResizeObserver(() => setWidth(Math.max(300, host.current?.clientWidth ?? 900)));
    observer.observe(host.current!);
    return () => observer.disconnect();
  }, []);
  return [host, width];
}

// Lines of several planes between two nodes bend apart.
function bend(from: Spot, to: Spot, amount: number): string {
  const length = Math.max(1, Math.hypot(to.x - from.x, to.y - from.y));
  const x = (from.x + to.x) / 2 - ((to.y - from.y) / length) * amount;
  const y = (from.y + to.y) / 2 + ((to.x - from.x) / length) * amount;
  return `M${from.x.toFixed(1)},${from.y.toFixed(1)}Q${x.toFixed(1)},${y.toFixed(1)} ${to.x.toFixed(1)},${to.y.toFixed(1)}`;
}

const planeName = (plane: number) => planes.value.get(plane) ?? `plane ${plane}`;

function describe(track: Track): string {
  const where = `${track.a} – ${track.b}, ${planeName(track.a_plane)}`;
  if (track.state !== 'usable') return `${where}: ${track.state}`;
  return `${where}: ${ms(track.rtt_us)} ms there and back, ${percent(track.loss_ppm)} % lost`;
}

function Network({ chosen }: { chosen: Path[] }) {
  const [host, width] = useWidth();
  const placement = nodes.value.map((n) => `${n.name} ${n.location}`).join();
  const ground = useMemo(() => groundFor(nodes.value, width, kHeight), [placement, width]);
  const order = [...planes.value.keys()];
  const hops = chosen.flatMap(hopsOf);
  return (
    <div ref={host} class="map">
      <svg width={width} height={kHeight} role="group" aria-label="Map of nodes and links">
        <path class="land" d={ground.land} />
        <path class="borders" d={ground.borders} />
        {tracks.value.map((track) => {
          const a = ground.spots.get(track.a), b = ground.spots.get(track.b);
          if (!a || !b) return null;
          const used = hops.some((hop) => carries(track, hop));
          const line = bend(a, b, 34 * (order.indexOf(track.a_plane) - (order.length - 1) / 2) + (track.a_plane === track.b_plane ? 0 : 12));
          return (
            <a key={track.key} href={href('link', track.a, track.b)} aria-label={describe(track)}
               class={`track ${track.state} ${used ? 'used' : ''}`} data-track={track.key} data-plane={track.a_plane}>
              <path class="reach" d={line} />
              <path class="line" d={line} stroke-dasharray={order.indexOf(track.a_plane) > 0 ? '7 5' : undefined} />
              <title>{describe(track)}</title>
            </a>
          );
        })}
        {nodes.value.map((node) => {
          const spot = ground.spots.get(node.name);
          if (!spot) return null;
          return (
            <g key={node.name} transform={`translate(${spot.x.toFixed(1)} ${spot.y.toFixed(1)})`}>
              <a href={href('node', node.name)} class={`node ${node.connected ? 'up' : 'away'}`}
                 aria-label={`${node.name}, ${node.relay ? 'relay' : 'box'}, ${node.connected ? 'connected' : 'away'}`}>
                {node.relay ? <rect x="-10" y="-10" width="20" height="20" rx="4" /> : <circle r="11" />}
                <text y="27" text-anchor="middle">{node.name}</text>
              </a>
            </g>
          );
        })}
      </svg>
    </div>
  );
}

function Legend() {
  return (
    <ul class="legend" aria-label="Legend">
      {[...planes.value].map(([plane, name], i) => (
        <li key={plane}>
          <svg width="34" height="8" aria-hidden="true"><path d="M1 4h32" class="sample" stroke-dasharray={i > 0 ? '7 5' : undefined} /></svg> {name}
        </li>
      ))}
      <li><svg width="34" height="8" aria-hidden="true"><path d="M1 4h32" class="sample used" /></svg> carries a shown path</li>
      <li><svg width="34" height="8" aria-hidden="true"><path d="M1 4h32" class="sample failed" /></svg> failed</li>
      <li><svg width="14" height="14" aria-hidden="true"><rect x="1" y="1" width="12" height="12" rx="3" class="sample-node" /></svg> relay</li>
      <li><svg width="14" height="14" aria-hidden="true"><circle cx="7" cy="7" r="6" class="sample-node" /></svg> box</li>
    </ul>
  );
}

export function MapPage() {
  const [tier, setTier] = useState<Tier>('interactive');
  const [pair, setPair] = useState('');
  const first = paths.value.filter((p) => p.tier === tier && p.preference === 0);
  const pairs = first.map((p) => `${p.from} → ${p.to}`);
  const chosen = first.filter((p) => !pairs.includes(pair) || `${p.from} → ${p.to}` === pair);
  const failed = tracks.value.filter((t) => t.state === 'failed');
  return (
    <>
      <Heading>Network</Heading>
      <div class="controls">
        <fieldset class="segments">
          <legend>Tier</legend>
          {kTiers.map((t) => (
            <label key={t}>
              <input type="radio" name="tier" checked={t === tier} onChange={() => setTier(t)} />
              <span>{t}</span>
            </label>
          ))}
        </fieldset>
        <label>
          Path{' '}
          <select value={pair} onChange={(e) => setPair(e.currentTarget.value)}>
            <option value="">all first choices</option>
            {pairs.map((p) => <option key={p} value={p}>{p}</option>)}
          </select>
        </label>
      </div>
      <div class="columns map-columns">
        <Card title="Where it runs" class="wide">
          <Network chosen={chosen} />
          <Legend />
        </Card>
        <Card title="Failed links">
          <div role="status" aria-live="polite">
            {failed.length === 0 ? (
              <p class="good">None.</p>
            ) : (
              <ul class="plain">
                {failed.map((t) => (
                  <li key={t.key}><a class="bad" href={href('link', t.a, t.b)}>{t.a} – {t.b}, {planeName(t.a_plane)}</a></li>
                ))}
              </ul>
            )}
          </div>
          <h2>Paths of {tier}</h2>
          <ul class="plain paths">
            {chosen.map((p) => (
              <li key={`${p.from} ${p.to}`} data-path={`${p.from}-${p.to}`}>
                <strong>{p.from} → {p.to}</strong>
                <span class="soft"> {via(p)}, {planeName(p.first_plane)} first, {ms(p.cost_us)} ms</span>
              </li>
            ))}
          </ul>
        </Card>
      </div>
    </>
  );
}
