// What lies between two nodes: each plane now and since this page was opened, and the paths that take it.
import { ms, percent } from '../shell/format';
import { Chart } from '../shell/chart';
import { href } from '../shell/route';
import { Card, Heading, Table } from '../shell/shell';
import type { Link, Path } from './controller';
import { history, links, paths, planes, tracks } from './live';
import { carries, hopsOf, linkKey, via } from './topology';

const planeName = (plane: number) => planes.value.get(plane) ?? String(plane);
const lineName = (l: Link) => (l.from_plane === l.to_plane ? planeName(l.from_plane) : `${planeName(l.from_plane)} to ${planeName(l.to_plane)}`);

export function LinkPage({ from, to }: { from: string; to: string }) {
  const shown = tracks.value.filter((t) => (t.a === from && t.b === to) || (t.a === to && t.b === from));
  const own = links.value.filter(
    (l) => l.from === from && l.to === to && shown.some((t) => (t.a === from ? t.a_plane === l.from_plane && t.b_plane === l.to_plane : t.b_plane === l.from_plane && t.a_plane === l.to_plane)),
  );
  const over = paths.value.filter((p) => p.preference === 0 && hopsOf(p).some((hop) => shown.some((t) => carries(t, hop))));
  const taken = new Map<string, { path: Path; tiers: string[] }>(); // one row for the tiers that go the same way
  for (const p of over) {
    const key = [p.from, p.to, via(p), p.first_plane, p.cost_us].join();
    taken.set(key, { path: p, tiers: [...(taken.get(key)?.tiers ?? []), p.tier] });
  }
  const seconds = history.samples.map((s) => s.at / 1000);
  const series = (value: (l: Link) => number) =>
    own.map((l) => ({
      label: lineName(l),
      values: history.samples.map((s) => {
        const then = s.links.get(linkKey(l));
        return then?.state === 'usable' ? value(then) : null;
      }),
    }));
  const told = own.map((l) => `${lineName(l)} ${l.state === 'usable' ? `${ms(l.rtt_us)} ms` : l.state}`).join('; ');
  return (
    <>
      <Heading>
        <a href={href('node', from)}>{from}</a> – <a href={href('node', to)}>{to}</a>
      </Heading>
      <div class="columns">
        <Card title="Now, as its probes see it" class="wide">
          <Table label="Planes" head={['Plane', 'State', 'Round trip, ms', 'Jitter, ms', 'Loss, %', 'Heard, ms ago']} numbers={[2, 3, 4, 5]}
                 empty="Nobody measures this pair."
                 rows={own.map((l) => {
                   const usable = l.state === 'usable';
                   return [lineName(l), <span class={usable ? 'good' : 'bad'}>{l.state}</span>, usable ? ms(l.rtt_us) : '–',
                           usable ? ms(l.jitter_us) : '–', usable ? percent(l.loss_ppm) : '–', l.age_ms];
                 })} />
        </Card>
        {own.length > 0 && (
          <Card title="Round trip since this page was opened" class="wide">
            <Chart seconds={seconds} lines={series((l) => l.rtt_us / 1000)} unit="ms" summary={`Round trip from ${from} to ${to}: ${told}`} />
          </Card>
        )}
        {own.length > 0 && (
          <Card title="Loss since this page was opened" class="wide">
            <Chart seconds={seconds} lines={series((l) => l.loss_ppm / 10_000)} unit="%" summary={`Loss from ${from} to ${to}`} />
          </Card>
        )}
        <Card title="First choices that go over it" class="wide">
          <Table label="Paths" head={['From', 'To', 'Tiers', 'By', 'Cost, ms']} numbers={[4]} empty="None now."
                 rows={[...taken.values()].map(({ path: p, tiers }) => [p.from, p.to, tiers.join(', '), via(p), ms(p.cost_us)])} />
        </Card>
      </div>
    </>
  );
}
