// A pool's statement: what it earned at this gateway, line by line, and whether the tenants' books say the same.
import { useState } from 'preact/hooks';
import { count, dateTime, money } from '../shell/format';
import { usePolled } from '../shell/polled';
import { Card, Heading, Table } from '../shell/shell';
import type { Statement, StatementLine } from './admin';
import { PoolChoice } from './pool_choice';

const kSpans: [string, number][] = [['today', 1], ['7 days', 7], ['30 days', 30], ['ever', 0]];
const kMostLines = 200;

const sinceOf = (days: number) => (days === 0 ? 0 : new Date().setHours(0, 0, 0, 0) - (days - 1) * 86_400_000);

function save(statement: Statement) {
  const columns: (keyof StatementLine)[] = ['started_unix_ms', 'call', 'model', 'tokens_in', 'tokens_out', 'amount_nano', 'billed_nano', 'undelivered_nano', 'recorded', 'disputed', 'agrees'];
  const text = [columns.join(','), ...statement.lines.map((l) => columns.map((c) => l[c]).join(','))].join('\n') + '\n';
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  link.download = `statement-${statement.pool}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

// Usage by day and model, the newest first.
function byDay(lines: StatementLine[]) {
  const sums = new Map<string, { calls: number; tokens: number; nano: bigint }>();
  for (const l of lines) {
    const key = `${new Date(l.started_unix_ms).toLocaleDateString('en-CA')} ${l.model}`;
    const sum = sums.get(key) ?? { calls: 0, tokens: 0, nano: 0n };
    sums.set(key, { calls: sum.calls + 1, tokens: sum.tokens + l.tokens_in + l.tokens_out, nano: sum.nano + BigInt(l.amount_nano) });
  }
  return [...sums].sort(([x], [y]) => y.localeCompare(x));
}

function verdict(l: StatementLine) {
  if (l.disputed) return <span class="bad">disputed</span>;
  if (!l.agrees) return <span class="bad">differs</span>;
  return l.recorded ? <span class="good">signed, agrees</span> : <span class="soft">no record yet</span>;
}

function Of({ pool }: { pool: string }) {
  const [days, setDays] = useState(0);
  const since = sinceOf(days);
  const { value: s, problem } = usePolled<Statement>(`/v1/statements/${encodeURIComponent(pool)}?since=${since}`, 5000);
  const lines = s ? [...s.lines].sort((x, y) => y.started_unix_ms - x.started_unix_ms) : [];
  return (
    <>
      <div class="controls">
        <label>
          Of{' '}
          <select value={days} onChange={(e) => setDays(Number(e.currentTarget.value))}>
            {kSpans.map(([label, value]) => <option key={value} value={value}>{label}</option>)}
          </select>
        </label>
        {s && <button onClick={() => save(s)}>Save as CSV</button>}
      </div>
      <p class="bad" role="alert">{problem}</p>
      {s && (
        <div class="columns">
          <Card title={`Revenue of ${s.pool}`}>
            <dl>
              <dt>Together</dt><dd><strong data-test="revenue">{money(s.revenue_nano)} {s.currency}</strong></dd>
              <dt>Calls</dt><dd>{money(s.calls_nano)}</dd>
              <dt>Fine-tunes, card time</dt><dd>{money(s.services_nano)}</dd>
              <dt>Undelivered</dt><dd>{money(s.undelivered_nano)} <span class="soft">generated, delivered to nobody</span></dd>
            </dl>
          </Card>
          <Card title="Against the tenants' bills">
            <dl>
              <dt>Both sides</dt><dd>{s.agrees ? <strong class="good">agree to the nano</strong> : <strong class="bad">differ in {count(s.disagreeing)} lines</strong>}</dd>
              <dt>Billed to tenants</dt><dd>{money(s.billed_nano)}</dd>
              <dt>No signed record yet</dt><dd>{count(s.unrecorded)}</dd>
              <dt>Disputed</dt><dd>{count(s.disputed)}</dd>
            </dl>
          </Card>
          <Card title="Usage" class="wide">
            <Table label="Usage" head={['Day and model', 'Calls', 'Tokens', 'CNY']} numbers={[1, 2, 3]}
                   rows={byDay(s.lines).map(([name, sum]) => [name, count(sum.calls), count(sum.tokens), money(sum.nano.toString())])} />
          </Card>
          <Card title="Services" class="wide">
            <Table label="Services" empty="No fine-tune or card time in this span." head={['When', 'What', 'Of', 'Quantity', 'CNY']} numbers={[3, 4]}
                   rows={s.services.map((l) => [dateTime(l.unix_ms), l.kind, l.id, `${count(l.quantity)} ${l.unit}`, money(l.amount_nano)])} />
          </Card>
          <Card title="Calls" class="wide">
            <Table label="Calls" numbers={[3, 4, 5]} empty="No calls in this span." head={['When', 'Call', 'Model', 'Tokens in', 'Tokens out', 'CNY', 'Books']}
                   rows={lines.slice(0, kMostLines).map((l) => [dateTime(l.started_unix_ms), l.call, l.model, l.tokens_in, l.tokens_out, money(l.amount_nano), verdict(l)])} />
            {lines.length > kMostLines && <p class="soft">The latest {kMostLines} of {count(lines.length)}; the CSV file holds all.</p>}
          </Card>
        </div>
      )}
    </>
  );
}

export function StatementPage() {
  return (
    <>
      <Heading>Statement</Heading>
      <PoolChoice>{(pool) => <Of key={pool} pool={pool} />}</PoolChoice>
    </>
  );
}
