// The controller's page, for operators.
import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import './style.css';
import { AccountsPage } from './operator/accounts_page';
import { Door } from './operator/door';
import { EventsPage } from './operator/events_page';
import { LinkPage } from './operator/link_page';
import { connection, follow, status } from './operator/live';
import { MapPage } from './operator/map_page';
import { MatrixPage } from './operator/matrix_page';
import { NodePage } from './operator/node_page';
import { TenantsPage } from './operator/tenants_page';
import { WhatIfPage } from './operator/what_if_page';
import type { Api } from './shell/api';
import { followAddress, route } from './shell/route';
import { api, leave, resume } from './shell/session';
import { Heading, Shell } from './shell/shell';
import { applyTheme } from './shell/theme';

const kProbe = '/v1/status';
const kNav = [
  { page: 'map', label: 'Network' },
  { page: 'matrix', label: 'Matrix' },
  { page: 'tenants', label: 'Tenants' },
  { page: 'what-if', label: 'What if' },
  { page: 'events', label: 'Events' },
  { page: 'accounts', label: 'Accounts' },
];

function Page() {
  const [page = 'map', one = '', two = ''] = route.value;
  switch (page) {
    case 'map': return <MapPage />;
    case 'matrix': return <MatrixPage />;
    case 'node': return <NodePage name={one} />;
    case 'link': return <LinkPage key={`${one} ${two}`} from={one} to={two} />;
    case 'tenants': return <TenantsPage />;
    case 'what-if': return <WhatIfPage />;
    case 'accounts': return <AccountsPage />;
    case 'events': return <EventsPage />;
    default: return <Heading>No such page</Heading>;
  }
}

function State() {
  const s = status.value;
  const words = { connecting: 'connecting …', live: 'live', lost: 'controller not reachable, trying again' }[connection.value];
  return (
    <span class="state" role="status">
      {s && <span>{s.connected} of {s.members} connected · {s.links_usable} links usable · </span>}
      <span class={connection.value === 'lost' ? 'bad' : 'good'}>{words}</span>
    </span>
  );
}

function Inside({ with: signedIn }: { with: Api }) {
  useEffect(() => {
    const stop = new AbortController();
    follow(signedIn, stop.signal);
    return () => stop.abort();
  }, [signedIn]);
  const name = status.value ? `${status.value.role} “${status.value.name}”` : 'controller';
  useEffect(() => void (document.title = `Qanat ${name}`), [name]);
  return <Shell brand={`Qanat ${name}`} nav={kNav} state={<State />}><Page /></Shell>;
}

function App() {
  if (api.value) return <Inside with={api.value} />;
  return <Door probe={kProbe} />;
}

leave.value = '/v1/sign-out';
applyTheme();
followAddress();
void resume(kProbe).then(() => render(<App />, document.getElementById('app')!));
