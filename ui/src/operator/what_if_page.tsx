// What if: fail a box, a link or a plane, add a link, or make a plane dearer; who would go where, and whose promises break. The
// controller answers by the code that decides, on a copy of what it knows; nothing is changed.
import { useState } from 'preact/hooks';
import { ApiError } from '../shell/api';
import { ms, percent } from '../shell/format';
import { api } from '../shell/session';
import { Card, Heading, Table } from '../shell/shell';
import type { SlaChange, Way, WhatIf, WhatIfAnswer } from './controller';
import { nodes, planes } from './live';

type Kind = 'node' | 'link' | 'plane' | 'add' | 'price';
const kKinds: [Kind, string][] = [
  ['node', 'a box fails'],
  ['link', 'a link fails'],
  ['plane', 'a plane fails'],
  ['add', 'a link is added'],
  ['price', 'a plane is dearer'],
];

const planeName = (plane: number) => planes.value.get(plane) ?? String(plane);

function wayText(way: Way | null) {
  if (!way) return <span class="bad">no way</span>;
  const hops = way.names.map((name, i) => `${planeName(way.planes[i])} to ${name}`).join(', ');
  return `${hops} (${ms(way.rtt_us)} ms)`;
}

function termText(c: SlaChange, value: number | null) {
  if (value === null) return 'no way';
  if (c.term === 'path') return 'a way';
  return c.term === 'loss' ? `${percent(value)} %` : `${ms(value)} ms`;
}

function Slas({ title, changes }: { title: string; changes: SlaChange[] }) {
  if (changes.length === 0) return null;
  return (
    <Card title={title} class="wide">
      <Table label={title} head={['Tenant', 'Tier', 'From', 'To', 'Term', 'Limit', 'Now', 'Then']}
             rows={changes.map((c) => [c.tenant, c.tier, c.from, c.to, c.term, c.term === 'path' ? '–' : termText(c, c.limit), termText(c, c.before), termText(c, c.after)])} />
    </Card>
  );
}

function Answer({ answer }: { answer: WhatIfAnswer }) {
  return (
    <>
      <Card title={`${answer.moved.length} of ${answer.pairs} pairs would move`} class="wide">
        <Table label="Pairs that would move" head={['From', 'To', 'Now', 'Then']} empty="Every pair would keep its way."
               rows={answer.moved.map((m) => [m.from, m.to, wayText(m.before), wayText(m.after)])} />
        {answer.slas_broken.length === 0 && <p class="good">No promise to a tenant would break.</p>}
      </Card>
      <Slas title="Promises that would break" changes={answer.slas_broken} />
      <Slas title="Promises that would hold again" changes={answer.slas_mended} />
      <Slas title="Promises broken as it is" changes={answer.slas_broken_already} />
    </>
  );
}

export function WhatIfPage() {
  const names = nodes.value.map((n) => n.name);
  const numbers = [...planes.value.keys()].sort((a, b) => a - b);
  const [kind, setKind] = useState<Kind>('node');
  const [a, setA] = useState('');
  const [b, setB] = useState('');
  const [plane, setPlane] = useState(0);
  const [delay, setDelay] = useState(20);
  const [answer, setAnswer] = useState<WhatIfAnswer | null>(null);
  const [wrong, setWrong] = useState('');
  const [busy, setBusy] = useState(false);
  const one = a || names[0] || '', other = b || names.find((n) => n !== one) || '', on = plane || numbers[0] || 1;

  const question = (): WhatIf => {
    switch (kind) {
      case 'node': return { fail_nodes: [one] };
      case 'link': return { fail_links: [{ a: one, b: other }] };
      case 'plane': return { fail_planes: [on] };
      case 'add': return { add_links: [{ a: one, b: other, plane: on, rtt_ms: delay }] };
      case 'price': return { planes: { [on]: { toll_ms: delay } } };
    }
  };
  const ask = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setWrong('');
    try {
      setAnswer(await api.value!.post<WhatIfAnswer>('/v1/what-if', question()));
    } catch (error) {
      setAnswer(null);
      setWrong(error instanceof ApiError ? error.message : 'The controller cannot be reached.');
    }
    setBusy(false);
  };
  const choice = (label: string, value: string, set: (v: string) => void) => (
    <label>
      {label}{' '}
      <select aria-label={label} value={value} onChange={(e) => set(e.currentTarget.value)}>
        {names.map((n) => <option key={n}>{n}</option>)}
      </select>
    </label>
  );
  return (
    <>
      <Heading>What if</Heading>
      <form class="controls" onSubmit={ask}>
        <label>
          What if{' '}
          <select aria-label="What happens" value={kind} onChange={(e) => (setKind(e.currentTarget.value as Kind), setAnswer(null))}>
            {kKinds.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
          </select>
        </label>
        {kind === 'node' && choice('Box', one, setA)}
        {(kind === 'link' || kind === 'add') && choice('Between', one, setA)}
        {(kind === 'link' || kind === 'add') && choice('and', other, setB)}
        {(kind === 'plane' || kind === 'add' || kind === 'price') && (
          <label>
            Plane{' '}
            <select aria-label="Plane" value={on} onChange={(e) => setPlane(Number(e.currentTarget.value))}>
              {numbers.map((n) => <option key={n} value={n}>{planeName(n)}</option>)}
            </select>
          </label>
        )}
        {(kind === 'add' || kind === 'price') && (
          <label>
            {kind === 'add' ? 'Round trip, ms' : 'As if slower by, ms'}{' '}
            <input type="number" min={1} max={60000} value={delay} onInput={(e) => setDelay(Number(e.currentTarget.value))} />
          </label>
        )}
        <button class="primary" disabled={busy}>Ask</button>
      </form>
      <p role="alert" class="bad">{wrong}</p>
      {answer && <Answer answer={answer} />}
    </>
  );
}
