// The gateway's page, for tenants: signed in by a key, it shows what that key's tenant may know.
import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import './style.css';
import { ServicePage } from './shell/grades';
import { followAddress, href, route } from './shell/route';
import { api, resume } from './shell/session';
import { Heading, Shell, SignIn } from './shell/shell';
import { applyTheme } from './shell/theme';
import { BillPage } from './tenant/bill_page';
import { CallPage } from './tenant/call_page';
import { JobsPage } from './tenant/jobs_page';
import { ModelsPage } from './tenant/models_page';

const kProbe = '/qanat/v1/usage';
const kNav = [
  { page: 'models', label: 'Models' },
  { page: 'jobs', label: 'Jobs' },
  { page: 'bill', label: 'Bill' },
  { page: 'service', label: 'Service' },
];

function Page() {
  const [page = 'models', one = ''] = route.value;
  switch (page) {
    case 'models': return <ModelsPage />;
    case 'jobs': return <JobsPage />;
    case 'bill': return <BillPage />;
    case 'service': return <ServicePage path="/qanat/v1/grades" whose={false} link={(call) => <a href={href('call', call)}>{call}</a>} />;
    case 'call': return <CallPage id={one} />;
    default: return <Heading>No such page</Heading>;
  }
}

function App() {
  useEffect(() => void (document.title = 'Qanat gateway'), []);
  if (api.value) return <Shell brand="Qanat gateway" nav={kNav}><Page /></Shell>;
  return (
    <SignIn title="Qanat gateway" label="Key" probe={kProbe} help="A tenant's key, as programs send it: sk-qanat-… It stays in this tab." />
  );
}

applyTheme();
followAddress();
void resume(kProbe).then(() => render(<App />, document.getElementById('app')!));
