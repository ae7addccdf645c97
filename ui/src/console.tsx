// The console's page, for those who run the gateway, and for suppliers of its pools.
import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import './style.css';
import { type Me, me } from './console/admin';
import { OfferPage } from './console/offer_page';
import { PoolsPage } from './console/pools_page';
import { StatementPage } from './console/statement_page';
import { ValvePage } from './console/valve_page';
import { ServicePage } from './shell/grades';
import { followAddress, route } from './shell/route';
import { api, explained, problem, resume, signOut } from './shell/session';
import { Heading, Shell, SignIn } from './shell/shell';
import { applyTheme } from './shell/theme';

const kProbe = '/v1/console';
const kNav = [
  { page: 'pools', label: 'Pools' },
  { page: 'valve', label: 'Valve' },
  { page: 'service', label: 'Service' },
  { page: 'offer', label: 'Offer' },
  { page: 'statement', label: 'Statement' },
];
const kSuppliersNav = kNav.slice(-2);

function Page({ first }: { first: string }) {
  switch (route.value[0] || first) {
    case 'pools': return <PoolsPage />;
    case 'valve': return <ValvePage />;
    case 'service': return <ServicePage path="/v1/grades" whose />;
    case 'offer': return <OfferPage />;
    case 'statement': return <StatementPage />;
    default: return <Heading>No such page</Heading>;
  }
}

function App() {
  const signedIn = api.value;
  useEffect(() => {
    me.value = null;
    if (signedIn) signedIn.get<Me>(kProbe).then((m) => (me.value = m), (e) => (signOut(), (problem.value = explained(e))));
  }, [signedIn]);
  const name = me.value ? `gateway “${me.value.gateway}”` : 'gateway';
  useEffect(() => void (document.title = `Qanat ${name}: console`), [name]);
  if (signedIn && me.value) {
    const nav = me.value.role === 'supplier' ? kSuppliersNav : kNav;
    return <Shell brand={`Qanat ${name}`} nav={nav} state={<span class="state">{me.value.name} · {me.value.role}</span>}><Page first={nav[0].page} /></Shell>;
  }
  return (
    <SignIn title="Qanat gateway: console" label="Token" probe={kProbe}
            help="An operator's, a viewer's or a supplier's: the files named in [console] of the gateway's configuration. It stays in this tab." />
  );
}

applyTheme();
followAddress();
void resume(kProbe).then(() => render(<App />, document.getElementById('app')!));
