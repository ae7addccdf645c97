// How well calls were served: grades by model, each miss with its cause, the misses ahead. For tenants and for who runs
// the gateway: qanat-gateway(8), GRADES.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { count, dateTime } from './format';
import { usePolled } from './polled';
import { Card, Heading, Table } from './shell';

interface Quantiles {
  p50: number;
  p90: number;
  p99: number;
}

interface Grade {
  tenant: string;
  model: string;
  calls: number;
  answered: number;
  availability: number;
  sla_kept: number;
  ttft_ms: Quantiles | null;
  tpot_ms: Quantiles | null;
  misses: Record<string, number>;
}

interface Miss {
  call: string;
  tenant: string;
  model: string;
  unix_ms: number;
  cause: string;
  detail: string;
}

interface Ahead {
  model: string;
  cause: string;
  pool?: string;
  ttft_ms?: number;
  tpot_ms?: number;
  wished_ttft_ms?: number;
  wished_tpot_ms?: number;
  calls_expected?: number;
  calls_that_fit?: number;
}

interface Report {
  grades: Grade[];
  misses: Miss[];
  ahead: Ahead[];
}

const kCauses: Record<string, string> = {
  no_room: 'no pool had room',
  cold: 'a pool was still starting',
  pool_failed: 'pools failed',
  retried: 'a pool failed first, another was late',
  full: 'pools were full',
  network: 'the way was too long',
  pool_slow: 'the pool was slower than it said',
  pace: 'tokens came too slowly',
  gateway: 'the gateway itself',
  valve_closed: 'the valve is closed',
  budget: 'the valve’s budget is used up',
  plan_waiting: 'a plan waits for an answer',
};
const inWords = (cause: string) => kCauses[cause] ?? cause;

const kSpans: [string, number][] = [['today', 1], ['7 days', 7], ['30 days', 30], ['a year', 365]];
const sinceOf = (days: number) => new Date().setUTCHours(0, 0, 0, 0) - (days - 1) * 86_400_000;

const percent = (share: number) => `${(share * 100).toFixed(share < 0.9995 && share > 0 ? 2 : 0)} %`;
const judged = (share: number) => <span class={share >= 0.99 ? 'good' : share >= 0.95 ? 'warn' : 'bad'}>{percent(share)}</span>;
const spread = (q: Quantiles | null) => (q ? `${q.p50.toFixed(0)} · ${q.p90.toFixed(0)} · ${q.p99.toFixed(0)}` : '–');
const causes = (misses: Record<string, number>) =>
  Object.entries(misses).sort(([, x], [, y]) => y - x).map(([cause, n]) => `${count(n)} × ${inWords(cause)}`).join('; ') || '–';

function foreseen(a: Ahead): string {
  if (a.calls_expected !== undefined) return `${a.calls_expected.toFixed(0)} calls at once expected, ${(a.calls_that_fit ?? 0).toFixed(0)} fit`;
  if (a.ttft_ms === undefined) return 'a call that came now would be refused';
  return `a call that came now would start after ${a.ttft_ms.toFixed(0)} ms of ${a.wished_ttft_ms?.toFixed(0)} at ${a.pool}`;
}

// `path`: the API's; `whose`: a column of tenants; `link`: to a call's own page, where there is one.
export function ServicePage({ path, whose, link }: { path: string; whose: boolean; link?: (call: string) => ComponentChildren }) {
  const [days, setDays] = useState(7);
  const { value, problem } = usePolled<Report>(`${path}?since=${sinceOf(days)}`, 5000);
  const mine = (tenant: string) => (whose ? [tenant] : []);
  const head = whose ? ['Tenant'] : [];
  const first = head.length;
  return (
    <>
      <Heading>Service</Heading>
      <div class="controls">
        <label>
          Of{' '}
          <select value={days} onChange={(e) => setDays(Number(e.currentTarget.value))}>
            {kSpans.map(([label, n]) => <option key={n} value={n}>{label}</option>)}
          </select>
        </label>
      </div>
      <p class="bad" role="alert">{problem}</p>
      {value && (
        <>
          <Card title="Grades">
            <Table label="Grades" empty="No calls in this time." numbers={[first + 1, first + 2, first + 3, first + 4, first + 5]}
                   head={[...head, 'Model', 'Calls', 'Answered', 'SLA kept', 'First token, ms', 'Per token, ms', 'Misses']}
                   rows={value.grades.map((g) => [
                     ...mine(g.tenant), g.model, count(g.calls), judged(g.availability), judged(g.sla_kept), spread(g.ttft_ms), spread(g.tpot_ms), causes(g.misses),
                   ])} />
            <p class="soft">Times are of 50 · 90 · 99 % of the streams, as their callers saw them. Days are UTC’s.</p>
          </Card>
          <Card title="Misses ahead">
            <Table label="Misses ahead" empty="None that can be seen coming." head={['Model', 'Why', 'What']}
                   rows={value.ahead.map((a) => [a.model, <span class="warn">{inWords(a.cause)}</span>, foreseen(a)])} />
          </Card>
          <Card title="Misses">
            <Table label="Misses" empty="Every call kept its SLA." head={[...head, 'When', 'Call', 'Model', 'Cause', 'Figures']}
                   rows={value.misses.map((m) => [...mine(m.tenant), dateTime(m.unix_ms), link ? link(m.call) : m.call, m.model, inWords(m.cause), m.detail])} />
          </Card>
        </>
      )}
    </>
  );
}
