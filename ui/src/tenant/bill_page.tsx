// The bill: what was delivered, to whom it was charged, line by line; and how far the budgets are.
import { useEffect, useState } from 'preact/hooks';
import { count, dateTime, money } from '../shell/format';
import { href } from '../shell/route';
import { api, explained } from '../shell/session';
import { Card, Heading, Table } from '../shell/shell';
import type { Balance, Bill, BillLine, Usage } from './gateway';

const kSpans: [string, number][] = [['today', 1], ['7 days', 7], ['30 days', 30], ['ever', 0]];
const kMostLines = 200; // shown; the file holds all

function since(days: number): number {
  if (days === 0) return 0;
  const midnight = new Date();
  midnight.setHours(0, 0, 0, 0);
  return midnight.getTime() - (days - 1) * 86_400_000;
}

// Sums of equal keys, the largest first.
function grouped(lines: BillLine[], key: (l: BillLine) => string) {
  const sums = new Map<string, { calls: number; tokens: number; nano: bigint }>();
  for (const line of lines) {
    const sum = sums.get(key(line)) ?? { calls: 0, tokens: 0, nano: 0n };
    sums.set(key(line), { calls: sum.calls + 1, tokens: sum.tokens + line.tokens_in + line.tokens_out, nano: sum.nano + BigInt(line.amount_nano) });
  }
  return [...sums].sort(([, x], [, y]) => (y.nano > x.nano ? 1 : y.nano < x.nano ? -1 : 0));
}

function save(bill: Bill) {
  const columns: (keyof BillLine)[] = ['started_unix_ms', 'call', 'project', 'key', 'model', 'pool', 'price', 'tokens_in', 'tokens_out', 'amount_nano', 'outcome', 'usage_source'];
  const text = [columns.join(','), ...bill.lines.map((l) => columns.map((c) => l[c]).join(','))].join('\n') + '\n';
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  link.download = `bill-${bill.tenant}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function Budget({ name, balance }: { name: string; balance: Balance }) {
  const limit = balance.limit_nano === null ? null : Number(balance.limit_nano);
  const spent = Number(balance.spent_nano) + Number(balance.held_nano);
  return (
    <>
      <dt>{name}</dt>
      <dd>
        {money(balance.spent_nano)} CNY spent{Number(balance.held_nano) > 0 && `, ${money(balance.held_nano)} held`}
        {limit === null ? <span class="soft"> of no limit</span> : ` of ${money(balance.limit_nano)}`}
        {limit !== null && <meter class="level" min={0} max={Math.max(1, limit)} high={limit * 0.8} value={spent} aria-label={`Budget of the ${name}`} />}
      </dd>
    </>
  );
}

export function BillPage() {
  const [days, setDays] = useState(0);
  const [bill, setBill] = useState<Bill | null>(null);
  const [usage, setUsage] = useState<Usage | null>(null);
  const [problem, setProblem] = useState('');
  useEffect(() => {
    const failed = (e: unknown) => setProblem(explained(e));
    api.value?.get<Bill>(`/qanat/v1/bill?since=${since(days)}`).then(setBill, failed);
    api.value?.get<Usage>('/qanat/v1/usage').then(setUsage, failed);
  }, [days]);
  const lines = bill ? [...bill.lines].sort((x, y) => y.started_unix_ms - x.started_unix_ms) : [];
  const table = (title: string, key: (l: BillLine) => string) => (
    <Card title={title}>
      <Table label={title} head={['', 'Calls', 'Tokens', 'CNY']} numbers={[1, 2, 3]} rows={grouped(lines, key).map(([name, sum]) => [name, count(sum.calls), count(sum.tokens), money(sum.nano.toString())])} />
    </Card>
  );
  return (
    <>
      <Heading>Bill</Heading>
      <div class="controls">
        <label>
          Of{' '}
          <select value={days} onChange={(e) => setDays(Number(e.currentTarget.value))}>
            {kSpans.map(([label, value]) => <option key={value} value={value}>{label}</option>)}
          </select>
        </label>
        {bill && <button onClick={() => save(bill)}>Save as CSV</button>}
      </div>
      <p class="bad" role="alert">{problem}</p>
      {bill && (
        <div class="columns">
          <Card title={`Tenant ${bill.tenant}`}>
            <dl>
              <dt>Total</dt><dd><strong data-test="total">{money(bill.total_nano)} {bill.currency}</strong></dd>
              <dt>Calls</dt><dd>{count(bill.lines.length)}</dd>
              <dt>Tokens</dt><dd>{count(bill.tokens_in)} in, {count(bill.tokens_out)} out</dd>
            </dl>
          </Card>
          {usage && (
            <Card title="Budgets">
              <dl>
                <Budget name="tenant" balance={usage.budgets.tenant} />
                <Budget name="project" balance={usage.budgets.project} />
                <Budget name="key" balance={usage.budgets.key} />
              </dl>
            </Card>
          )}
          {table('By model', (l) => l.model)}
          {table('By pool', (l) => l.pool)}
          <Card title="Calls" class="wide">
            <Table label="Calls" numbers={[4, 5, 6]} empty="No calls in this time."
                   head={['When', 'Call', 'Model', 'Pool', 'Tokens in', 'Tokens out', 'CNY', 'Outcome']}
                   rows={lines.slice(0, kMostLines).map((l) => [
                     dateTime(l.started_unix_ms), <a href={href('call', l.call)}>{l.call}</a>, l.model, l.pool, l.tokens_in, l.tokens_out, money(l.amount_nano), l.outcome,
                   ])} />
            {lines.length > kMostLines && <p class="soft">The latest {kMostLines} of {count(lines.length)}; the CSV file holds all.</p>}
          </Card>
        </div>
      )}
    </>
  );
}
