// Every node to every node, as probes see it: a heat map, now or as it was some minutes ago.
import { useState } from 'preact/hooks';
import { ms, percent } from '../shell/format';
import { href } from '../shell/route';
import { Heading } from '../shell/shell';
import type { Link } from './controller';
import { history, links, nodes, planes } from './live';

type Measure = 'rtt_us' | 'loss_ppm' | 'jitter_us';
const kMeasures: Record<Measure, { label: string; unit: string; most: number; text: (v: number) => string }> = {
  rtt_us: { label: 'round trip', unit: 'ms', most: 250_000, text: ms },
  loss_ppm: { label: 'loss', unit: '%', most: 100_000, text: percent },
  jitter_us: { label: 'jitter', unit: 'ms', most: 30_000, text: ms },
};
const kMostWithText = 40; // nodes; beyond, cells are colours with a title

// Green to red on a logarithmic scale; light enough for dark text in both themes.
export function heat(value: number, most: number): string {
  const x = Math.min(1, Math.log1p((value / most) * 50) / Math.log1p(50));
  return `hsl(${Math.round(152 - 152 * x)} 58% ${Math.round(74 - 4 * x)}%)`;
}

// The best usable link of each ordered pair, or the worst thing that can be said: it was measured and is dead.
function best(all: Link[], plane: number): Map<string, Link> {
  const found = new Map<string, Link>();
  for (const link of all) {
    if (plane && (link.from_plane !== plane || link.to_plane !== plane)) continue;
    const key = `${link.from}|${link.to}`;
    const known = found.get(key);
    const better = !known || (link.state === 'usable' && (known.state !== 'usable' || link.rtt_us < known.rtt_us));
    if (better) found.set(key, link);
  }
  return found;
}

function Cell({ from, to, link, measure, texts }: { from: string; to: string; link?: Link; measure: Measure; texts: boolean }) {
  if (from === to) return <td class="same" aria-hidden="true" />;
  if (!link) return <td class="none"><span title={`${from} → ${to}: not measured`}>·</span></td>;
  const { label, unit, most, text } = kMeasures[measure];
  const dead = link.state !== 'usable';
  const words = dead ? link.state : `${text(link[measure])} ${unit} ${label}`;
  return (
    <td class={dead ? 'dead' : ''} style={dead ? undefined : { backgroundColor: heat(link[measure], most) }}>
      <a href={href('link', from, to)} title={`${from} → ${to}: ${words}`} aria-label={`${from} to ${to}: ${words}`}>
        {texts ? (dead ? '✕' : text(link[measure])) : '\u00a0'}
      </a>
    </td>
  );
}

export function MatrixPage() {
  const [measure, setMeasure] = useState<Measure>('rtt_us');
  const [plane, setPlane] = useState(0);
  const [ago, setAgo] = useState(0);
  const now = links.value; // read even when looking back: the page follows
  const shown = best(ago > 0 ? history.at(ago * 1000) : now, plane);
  const names = nodes.value.map((n) => n.name);
  const span = Math.floor(history.span_ms / 1000);
  return (
    <>
      <Heading>Probe matrix</Heading>
      <div class="controls">
        <label>
          Shows{' '}
          <select value={measure} onChange={(e) => setMeasure(e.currentTarget.value as Measure)}>
            {Object.entries(kMeasures).map(([key, m]) => <option key={key} value={key}>{m.label}, {m.unit}</option>)}
          </select>
        </label>
        <label>
          Plane{' '}
          <select value={plane} onChange={(e) => setPlane(Number(e.currentTarget.value))}>
            <option value={0}>the best</option>
            {[...planes.value].map(([id, name]) => <option key={id} value={id}>{name}</option>)}
          </select>
        </label>
        <label class="slider">
          As of {ago === 0 ? 'now' : `${ago} s ago`}
          <input type="range" min={0} max={Math.max(1, span)} value={ago} aria-valuetext={ago === 0 ? 'now' : `${ago} seconds ago`}
                 onInput={(e) => setAgo(Number(e.currentTarget.value))} />
        </label>
      </div>
      <div class="scroll card" tabIndex={0} role="region" aria-label="Probe matrix">
        <table class={`heat ${names.length > kMostWithText ? 'dense' : ''}`}>
          <caption>From the row's node to the column's. Looking back reaches as far as this page has been open.</caption>
          <thead>
            <tr>
              <td />
              {names.map((to) => <th key={to} scope="col">{to}</th>)}
            </tr>
          </thead>
          <tbody>
            {names.map((from) => (
              <tr key={from}>
                <th scope="row"><a href={href('node', from)}>{from}</a></th>
                {names.map((to) => (
                  <Cell key={to} from={from} to={to} link={shown.get(`${from}|${to}`)} measure={measure} texts={names.length <= kMostWithText} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
