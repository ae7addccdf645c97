// Pools: how full each is (its water level), its health and the way to it, and the placeholders held there.
import { count } from '../shell/format';
import { usePolled } from '../shell/polled';
import { Card, Heading, Table } from '../shell/shell';
import type { Engine, Pool, Valve } from './admin';

const kHigh = 0.8; // of what fits: beyond, calls begin to wait

function Level({ part, of, name }: { part: number; of: number; name: string }) {
  const share = of > 0 ? part / of : 0;
  return (
    <>
      <span class={share > 1 ? 'bad' : share > kHigh ? 'warn' : ''}>{count(part)} of {count(of)}</span>
      <meter class="level" min={0} max={Math.max(1, of)} high={Math.max(1, of) * kHigh} value={Math.min(part, of)} aria-label={name} />
    </>
  );
}

function Health({ pool }: { pool: Pool }) {
  if (!pool.fresh) return <span class="bad">not heard of{pool.error && `: ${pool.error}`}</span>;
  const good = pool.health === 'serving';
  return (
    <>
      <span class={good ? 'good' : 'warn'}>{pool.health}</span>
      {pool.breaker !== 'closed' && <span class="bad"> · breaker {pool.breaker}</span>}
      {pool.listed === false && <span class="warn"> · withdrawn from its registry</span>}
    </>
  );
}

const engineRow = (pool: Pool) => (e: Engine) => [
  e.model,
  <Level part={e.running + e.waiting} of={e.max_num_seqs} name={`Sequences of ${e.model} at ${pool.id}`} />,
  count(e.waiting),
  <Level part={e.kv_used_tokens} of={e.kv_total_tokens} name={`KV tokens of ${e.model} at ${pool.id}`} />,
];

export function PoolsPage() {
  const pools = usePolled<Pool[]>('/v1/pools');
  const valves = usePolled<Valve[]>('/v1/valves');
  const all = pools.value ?? [];
  const placeholders = (valves.value ?? []).flatMap((v) => v.placeholders.map((p) => ({ ...p, model: v.model })));
  return (
    <>
      <Heading>Pools</Heading>
      <p class="bad" role="alert">{pools.problem}</p>
      <div class="columns">
        {all.map((pool) => (
          <Card key={pool.url} title={`${pool.id ?? pool.url}${pool.local ? ' · local' : ''}`}>
            <dl>
              <dt>Health</dt><dd><Health pool={pool} /></dd>
              {pool.card && <><dt>Cards</dt><dd>{pool.card.count} × {pool.card.model}</dd></>}
              <dt>Calls from here</dt><dd>{pool.in_flight} under way</dd>
              <dt>Way there</dt><dd>{pool.path || (pool.local ? 'stays at this site' : '–')}, {pool.rtt_ms.toFixed(1)} ms</dd>
            </dl>
            <h3>Water level</h3>
            <Table label={`Engines of ${pool.id}`} head={['Model', 'Sequences', 'Waiting', 'KV tokens']} numbers={[2]}
                   empty="No engine is up: it wakes for a placeholder or a call." rows={pool.engines.map(engineRow(pool))} />
          </Card>
        ))}
      </div>
      {pools.value && all.length === 0 && <p class="soft">No pool is configured, and no registry lists one.</p>}
      <Card title="Placeholders">
        <Table label="Placeholders" empty="None: a [[valve.placeholder]] or a dispatch makes one."
               head={['Model', 'Pool', 'State', 'Engines serving', 'held', 'of', 'Cold start, s', 'Image and weights']} numbers={[3, 4, 5, 6]}
               rows={placeholders.map((p) => [
                 p.model, p.pool,
                 <span class={p.serving > 0 ? 'good' : p.state === 'asleep' ? 'soft' : 'warn'}>{p.serving > 0 ? 'warm' : 'cold'} · {p.state}</span>,
                 p.serving, p.held, p.engines, (p.cold_ms / 1000).toFixed(1), p.image || 'as the pool has it',
               ])} />
      </Card>
    </>
  );
}
