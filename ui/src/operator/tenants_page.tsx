// Tenants, their members, and who reaches what: for a flow that one names, the verdict and the rule that decides.
import { useState } from 'preact/hooks';
import { href } from '../shell/route';
import { Card, Heading, Table } from '../shell/shell';
import type { Tenant } from './controller';
import { tenants } from './live';
import { type Flow, verdict } from './reach';

const kProtocols = ['tcp', 'udp', 'icmp', 'icmpv6'];

function Reach({ tenant, flow }: { tenant: Tenant; flow: Flow }) {
  const names = tenant.members.map((m) => m.node);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`Who reaches what in ${tenant.name}`}>
      <table class="heat reach">
        <caption>From the row's member to the column's.</caption>
        <thead>
          <tr><td />{names.map((to) => <th key={to} scope="col">{to}</th>)}</tr>
        </thead>
        <tbody>
          {names.map((from) => (
            <tr key={from}>
              <th scope="row">{from}</th>
              {names.map((to) => {
                if (from === to) return <td key={to} class="same" aria-hidden="true" />;
                const { allowed, rule } = verdict(tenant, from, to, flow);
                return (
                  <td key={to} class={allowed ? 'allowed' : 'denied'}>
                    {allowed ? 'yes' : 'no'} <small>{rule}</small>
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function TenantsPage() {
  const [flow, setFlow] = useState<Flow>({ protocol: 'tcp', port: 443 });
  const hasPorts = flow.protocol === 'tcp' || flow.protocol === 'udp';
  return (
    <>
      <Heading>Tenants</Heading>
      <div class="controls">
        <label>
          A flow of{' '}
          <select value={flow.protocol} onChange={(e) => setFlow({ ...flow, protocol: e.currentTarget.value })}>
            {kProtocols.map((p) => <option key={p}>{p}</option>)}
          </select>
        </label>
        {hasPorts && (
          <label>
            to port{' '}
            <input type="number" min={1} max={65535} value={flow.port} onInput={(e) => setFlow({ ...flow, port: Number(e.currentTarget.value) })} />
          </label>
        )}
      </div>
      {tenants.value.length === 0 && <p class="soft">None yet. PUT /v1/tenants/NAME makes one.</p>}
      {tenants.value.map((tenant) => (
        <Card key={tenant.name} title={`${tenant.name}, VNI ${tenant.vni}${tenant.from_parent ? ', from the global controller' : ''}`} class="wide">
          <Table label={`Members of ${tenant.name}`} head={['Member', 'Labels', 'Addresses', 'Prefixes']}
                 rows={tenant.members.map((m) => [<a href={href('node', m.node)}>{m.node}</a>, m.labels?.join(', ') || '–', m.addresses.join(', '), m.prefixes.join(', ') || '–'])} />
          <h3>Policy</h3>
          {tenant.policy ? (
            tenant.policy.length ? <ol class="rules">{tenant.policy.map((rule) => <li key={rule}><code>{rule}</code></li>)}</ol> : <p>No rules: nothing is allowed.</p>
          ) : (
            <p>None: members reach each other freely.</p>
          )}
          <h3>Who reaches what</h3>
          <Reach tenant={tenant} flow={flow} />
        </Card>
      ))}
    </>
  );
}
