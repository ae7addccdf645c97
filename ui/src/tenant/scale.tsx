// The price before scaling: what so many calls at once would cost an hour at each pool, and whether they hold the SLA.
import { useState } from 'preact/hooks';
import { count, money } from '../shell/format';
import { Card, Table } from '../shell/shell';
import type { Candidate, Decision } from './gateway';

interface Load {
  streams: number;
  tokens_in: number;
  tokens_out: number;
}

const kFields: [keyof Load, string][] = [['streams', 'Calls at once'], ['tokens_in', 'Tokens in'], ['tokens_out', 'Tokens out']];

// One after the other, each as long as predicted of it now.
const callsAnHour = (c: Candidate, load: Load) => (load.streams * 3_600_000) / Math.max(1, c.predicted!.ttft_ms + load.tokens_out * c.predicted!.tpot_ms);
const nanoAnHour = (c: Candidate, load: Load) => Math.round(callsAnHour(c, load) * (load.tokens_in * c.price.input + load.tokens_out * c.price.output));

export function Scale({ decision }: { decision: Decision }) {
  const [load, setLoad] = useState<Load>({ streams: 20, tokens_in: 512, tokens_out: 256 });
  const pools = decision.candidates.filter((c) => decision.order.includes(c.instance) && c.predicted);
  return (
    <Card title="Price before scaling" class="wide">
      <div class="controls">
        {kFields.map(([name, label]) => (
          <label key={name}>
            {label} <input type="number" min={1} max={1_000_000} value={load[name]} onInput={(e) => setLoad({ ...load, [name]: Math.max(1, Number(e.currentTarget.value)) })} data-test={name} />
          </label>
        ))}
      </div>
      <Table label="Price before scaling" empty="No pool could take it now." head={['Pool', 'Calls an hour', 'CNY an hour', 'CNY a call']} numbers={[1, 2, 3]}
             rows={pools.map((c) => [
               c.pool, count(Math.round(callsAnHour(c, load))), <strong>{(nanoAnHour(c, load) / 1e9).toFixed(2)}</strong>, money(load.tokens_in * c.price.input + load.tokens_out * c.price.output),
             ])} />
      <p class="soft">At today’s prices, and as fast as each pool is predicted to be now; a pool that gets fuller is slower, and then cheaper an hour. You pay for tokens that came, whatever is held for you.</p>
    </Card>
  );
}
