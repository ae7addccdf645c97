// Two models beside each other: price, what is predicted of each now, and both answers to one prompt.
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { count, money } from '../shell/format';
import { api } from '../shell/session';
import { Card, Table } from '../shell/shell';
import { attempt, failure, timed, type Trial } from './attempt';
import { priceOf } from './explanation';
import { type Candidate, type Decision, type Model, resolvePath } from './gateway';

const kIn = 512, kOut = 256; // tokens of the call that is priced

interface Side {
  model: Model;
  pick: Candidate | undefined;
  trial: Trial | null;
  problem: string;
}

const perThousand = (c: Candidate) => money(1000 * (c.price.input * kIn + c.price.output * kOut));

export function Compare({ models, first }: { models: Model[]; first: string }) {
  const [other, setOther] = useState('');
  const [sides, setSides] = useState<Side[]>([]);
  const [prompt, setPrompt] = useState('What is a qanat?');
  const [busy, setBusy] = useState(false);
  const second = other && other !== first ? other : (models.find((m) => m.id !== first)?.id ?? '');
  useEffect(() => {
    let over = false;
    const side = async (id: string): Promise<Side> => {
      const decision = await api.value!.get<Decision>(resolvePath(`c-url://any/infer/${id}`));
      const pick = decision.candidates.find((c) => c.instance === decision.order[0]);
      return { model: models.find((m) => m.id === id)!, pick, trial: null, problem: '' };
    };
    if (second) void Promise.all([first, second].map(side)).then((both) => !over && setSides(both), () => !over && setSides([]));
    return () => void (over = true);
  }, [first, second]);
  if (models.length < 2) return <Card title="Compare">There is one model only.</Card>;
  const change = (i: number, what: Partial<Side>) => setSides((now) => now.map((s, n) => (n === i ? { ...s, ...what } : s)));
  const askBoth = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    await Promise.all(sides.map((s, i) => (change(i, { trial: null, problem: '' }), attempt(s.model.id, prompt, (trial) => change(i, { trial })).catch((e) => change(i, { problem: failure(e) })))));
    setBusy(false);
  };
  const row = (label: string, cell: (s: Side) => ComponentChildren) => [label, ...sides.map(cell)];
  return (
    <Card title="Compare" class="wide">
      <div class="controls">
        <label>
          {first} with{' '}
          <select value={second} onChange={(e) => setOther(e.currentTarget.value)} aria-label="The other model">
            {models.filter((m) => m.id !== first).map((m) => <option key={m.id} value={m.id}>{m.id}</option>)}
          </select>
        </label>
      </div>
      <Table label="Comparison" head={['', ...sides.map((s) => s.model.id)]}
             rows={[
               row('Longest context', (s) => count(s.model.max_context)),
               row('Would run at', (s) => s.pick?.pool ?? 'nowhere now'),
               row('CNY per million tokens', (s) => (s.pick ? priceOf(s.pick) : '–')),
               row(`CNY for 1,000 calls of ${kIn} + ${kOut} tokens`, (s) => (s.pick ? perThousand(s.pick) : '–')),
               row('First token, predicted', (s) => (s.pick?.predicted ? `${s.pick.predicted.ttft_ms.toFixed(0)} ms` : '–')),
               row('Each further one', (s) => (s.pick?.predicted ? `${s.pick.predicted.tpot_ms.toFixed(1)} ms` : '–')),
               ...(sides.some((s) => s.trial || s.problem)
                 ? [row('Its answer', (s) => <span class={s.problem ? 'bad' : 'answer'}>{s.problem || s.trial?.text}</span>), row('It took', (s) => (s.trial?.over ? timed(s.trial) : '…'))]
                 : []),
             ]} />
      <form class="controls" onSubmit={askBoth}>
        <label>Prompt <input size={40} value={prompt} required onInput={(e) => setPrompt(e.currentTarget.value)} /></label>
        <button disabled={busy || sides.length < 2}>Ask both</button>
      </form>
    </Card>
  );
}
