// One node: what it is, what its lines measure, the paths it sends on, the tenants it serves.
import { ms, percent } from '../shell/format';
import { href } from '../shell/route';
import { Card, Heading, Table } from '../shell/shell';
import { type Path, kTiers } from './controller';
import { nodes, paths, planes, tenants, tracks } from './live';
import { via } from './topology';

const planeName = (plane: number) => planes.value.get(plane) ?? String(plane);

function pathRows(list: Path[]) {
  const tier = (p: Path) => kTiers.indexOf(p.tier);
  const sorted = [...list].sort((x, y) => x.to.localeCompare(y.to) || tier(x) - tier(y) || x.preference - y.preference);
  return sorted.map((p) => [
    <a href={href('node', p.to)}>{p.to}</a>,
    p.tier,
    p.preference === 0 ? 'first' : `backup ${p.preference}`,
    via(p),
    planeName(p.first_plane),
    ms(p.cost_us),
  ]);
}

export function NodePage({ name }: { name: string }) {
  const node = nodes.value.find((n) => n.name === name);
  if (!node) return <Heading>No node “{name}”</Heading>;
  const own = tracks.value.filter((t) => t.a === name || t.b === name);
  const member = tenants.value.filter((t) => t.members.some((m) => m.node === name));
  return (
    <>
      <Heading>
        {node.name} <span class={`badge ${node.connected ? 'good' : 'bad'}`}>{node.connected ? 'connected' : 'away'}</span>
      </Heading>
      <div class="columns">
        <Card title="What it is">
          <dl>
            <dt>Kind</dt><dd>{node.relay ? 'relay' : 'box'}</dd>
            <dt>Id</dt><dd>{node.node}, of domain {node.domain}</dd>
            <dt>Location</dt><dd>{node.location || 'not told'}</dd>
            <dt>Configuration</dt>
            <dd>
              version {node.version_acked}
              {node.version_acked !== node.version_sent && <span class="warn"> ({node.version_sent} is on its way)</span>}
            </dd>
          </dl>
        </Card>
        <Card title="Lines">
          <Table label="Lines" head={['Plane', 'Address']} rows={node.lines.map((l) => [planeName(l.plane), `${l.address}:${l.port}`])} />
        </Card>
        <Card title="Tenants">
          <Table label="Tenants" head={['Tenant', 'VNI', 'Addresses here']} empty="It serves none."
                 rows={member.map((t) => [<a href={href('tenants')}>{t.name}</a>, t.vni, t.members.find((m) => m.node === name)!.addresses.join(', ')])} />
        </Card>
        <Card title="Links" class="wide">
          <Table label="Links" head={['To', 'Plane', 'State', 'Round trip, ms', 'Jitter, ms', 'Loss, %']} numbers={[3, 4, 5]}
                 rows={own.map((t) => {
                   const other = t.a === name ? t.b : t.a;
                   const usable = t.state === 'usable';
                   return [
                     <a href={href('link', name, other)}>{other}</a>,
                     planeName(t.a === name ? t.a_plane : t.b_plane),
                     <span class={usable ? 'good' : 'bad'}>{t.state}</span>,
                     usable ? ms(t.rtt_us) : '–', usable ? ms(t.jitter_us) : '–', usable ? percent(t.loss_ppm) : '–',
                   ];
                 })} />
        </Card>
        <Card title="Paths from here" class="wide">
          <Table label="Paths from here" head={['To', 'Tier', 'Choice', 'By', 'First plane', 'Cost, ms']} numbers={[5]}
                 rows={pathRows(paths.value.filter((p) => p.from === name))} />
        </Card>
      </div>
    </>
  );
}
