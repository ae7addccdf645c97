// The offer: what a pool is lent for and when, as its owner has it, and a change of it.
import { useEffect, useState } from 'preact/hooks';
import { dateTime, money, perMillion } from '../shell/format';
import { useChange, usePolled } from '../shell/polled';
import { Card, Heading, Table } from '../shell/shell';
import { me, type Offer } from './admin';
import { PoolChoice } from './pool_choice';

type Price = keyof Offer['price'];
// Name, what it is per, and how many nano one unit of the field is.
const kPrices: [Price, string, number][] = [
  ['input', 'CNY per million prompt tokens', 1000],
  ['cached', 'CNY per million cached prompt tokens', 1000],
  ['output', 'CNY per million generated tokens', 1000],
  ['card_nano_s', 'CNY per card and hour that is leased', 1e9 / 3600],
  ['placeholder_nano_s', 'CNY per placeholder and hour', 1e9 / 3600],
];

const shown = (offer: Offer, name: Price, unit: number) => String(+((offer.price[name] ?? 0) / unit).toPrecision(12));

function Form({ offer, path, again }: { offer: Offer; path: string; again: () => void }) {
  const { busy, refused, change } = useChange(again);
  const [fields, setFields] = useState<Record<string, string>>({});
  const [windows, setWindows] = useState(offer.windows.join('\n'));
  useEffect(() => (setFields({}), setWindows(offer.windows.join('\n'))), [offer.version]);
  const submit = (event: Event) => {
    event.preventDefault();
    const price = Object.fromEntries(kPrices.filter(([name]) => fields[name] !== undefined).map(([name, , unit]) => [name, Math.round(Number(fields[name]) * unit)]));
    const lines = windows.split('\n').map((line) => line.trim()).filter(Boolean);
    void change('PUT', path, { ...(Object.keys(price).length > 0 && { price }), windows: lines });
  };
  return (
    <form class="fields" onSubmit={submit}>
      {kPrices.map(([name, label, unit]) => (
        <label key={name}>
          {label}
          <input type="number" min="0" step="any" required value={fields[name] ?? shown(offer, name, unit)} onInput={(e) => setFields({ ...fields, [name]: e.currentTarget.value })} data-test={name} />
        </label>
      ))}
      <label>
        Hours, UTC: one window a line, such as mon-fri 22:00-06:00; none: always
        <textarea value={windows} onInput={(e) => setWindows(e.currentTarget.value)} data-test="windows" />
      </label>
      <p><button class="primary" disabled={busy}>Offer it so from now on</button></p>
      <p class="bad" role="alert">{refused}</p>
    </form>
  );
}

function Of({ pool }: { pool: string }) {
  const path = `/v1/offers/${encodeURIComponent(pool)}`;
  const { value: offer, problem, again } = usePolled<Offer>(path, 5000);
  const hourly = (nano: number) => money(Math.round(nano * 3600));
  return (
    <>
      <p class="bad" role="alert">{problem}</p>
      {offer && (
        <div class="columns">
          <Card title={`${pool}, version ${offer.version}`}>
            <dl>
              <dt>It is</dt>
              <dd><strong class={offer.open ? 'good' : 'warn'} data-test="open">{offer.open ? 'open' : 'shut'}</strong>{offer.changes_unix_ms && ` until ${dateTime(offer.changes_unix_ms)}`}</dd>
              <dt>Tokens</dt>
              <dd>{perMillion(offer.price.input)} in, {perMillion(offer.price.cached)} cached, {perMillion(offer.price.output)} out <span class="soft">CNY per million</span></dd>
              <dt>A card</dt><dd>{hourly(offer.price.card_nano_s)} CNY an hour</dd>
              <dt>A placeholder</dt><dd>{hourly(offer.price.placeholder_nano_s)} CNY an hour</dd>
            </dl>
            <h3>Hours (UTC)</h3>
            <Table label="Hours" head={['Window']} empty="Always." rows={offer.windows.map((w) => [w])} />
          </Card>
          {me.value?.role !== 'viewer' && <Card title="Change it"><Form offer={offer} path={path} again={again} /></Card>}
        </div>
      )}
    </>
  );
}

export function OfferPage() {
  return (
    <>
      <Heading>Offer</Heading>
      <PoolChoice>{(pool) => <Of key={pool} pool={pool} />}</PoolChoice>
    </>
  );
}
