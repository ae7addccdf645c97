// Accounts: who may sign in, with which role; inviting, disabling, resetting. An admin's page.
import { useState } from 'preact/hooks';
import { dateTime } from '../shell/format';
import { usePolled, useChange } from '../shell/polled';
import { api, explained } from '../shell/session';
import { Card, Heading, Table } from '../shell/shell';

interface Account {
  name: string;
  role: string;
  tenant: string;
  state: 'invited' | 'active' | 'disabled';
  created_by: string;
  last_sign_in_unix_s: number;
  recovery_codes: number;
}

export function AccountsPage() {
  const accounts = usePolled<Account[]>('/v1/accounts', 5000);
  const { busy, refused, change } = useChange(accounts.again);
  const [name, setName] = useState('');
  const [role, setRole] = useState('viewer');
  const [tenant, setTenant] = useState('');
  const [shown, setShown] = useState<{ name: string; invitation: string } | null>(null);
  const [problem, setProblem] = useState('');
  const invite = async (path: string, body?: unknown) => {
    setProblem('');
    await api.value!.send('POST', path, body).then(async (answer) => setShown(await answer.json()), (e) => setProblem(explained(e)));
    accounts.again();
  };
  const at = (a: Account, verb = '') => `/v1/accounts/${a.name}${verb}`;
  return (
    <>
      <Heading>Accounts</Heading>
      <p class="bad" role="alert">{problem || refused || accounts.problem}</p>
      <div class="columns">
        <Card title="Who may sign in" class="wide">
          <Table label="Accounts" empty="Nobody yet: programs and the first admin use tokens." head={['Name', 'Role', 'State', 'Last here', 'Recovery codes', '']} numbers={[4]}
                 rows={(accounts.value ?? []).map((a) => [
                   a.name, a.tenant ? `${a.role} of ${a.tenant}` : a.role,
                   <span class={a.state === 'active' ? 'good' : a.state === 'disabled' ? 'bad' : 'warn'}>{a.state}</span>,
                   a.last_sign_in_unix_s ? dateTime(a.last_sign_in_unix_s * 1000) : 'never', a.recovery_codes,
                   <span class="controls">
                     {a.state === 'disabled'
                       ? <button disabled={busy} aria-label={`Enable ${a.name}`} onClick={() => void change('POST', at(a, '/enable'))}>Enable</button>
                       : <button disabled={busy} aria-label={`Disable ${a.name}`} onClick={() => void change('POST', at(a, '/disable'))}>Disable</button>}
                     <button disabled={busy} aria-label={`Reset ${a.name}`} onClick={() => void invite(at(a, '/reset'))}>Reset</button>
                     <button disabled={busy} aria-label={`Remove ${a.name}`} onClick={() => void change('DELETE', at(a))}>Remove</button>
                   </span>,
                 ])} />
        </Card>
        <Card title="Invite">
          <form onSubmit={(e) => (e.preventDefault(), void invite('/v1/accounts', { name, role, ...(tenant && { tenant }) }))}>
            <p><label>Name <input required value={name} onInput={(e) => setName(e.currentTarget.value)} /></label></p>
            <p>
              <label>
                Role{' '}
                <select value={role} onChange={(e) => setRole(e.currentTarget.value)}>
                  {['viewer', 'operator', 'admin'].map((r) => <option key={r}>{r}</option>)}
                </select>
              </label>
            </p>
            <p><label>Of one tenant alone <input value={tenant} onInput={(e) => setTenant(e.currentTarget.value)} /></label></p>
            <button class="primary">Invite</button>
          </form>
        </Card>
        {shown && (
          <Card title={`For ${shown.name}`}>
            <p>Hand this over; it is shown this once, and good once, for a week.</p>
            <pre tabIndex={0} aria-label="Invitation" data-test="invitation">{shown.invitation}</pre>
          </Card>
        )}
      </div>
    </>
  );
}
