// The controller's door: an account with its second factor, a token, or an invitation that becomes an account.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { ApiError } from '../shell/api';
import { problem, signIn } from '../shell/session';
import { enrolled, secretFor, sessionFor, type SecondFactor } from './account';

type Way = 'account' | 'token' | 'invitation';
const kWays: [Way, string][] = [['token', 'Token'], ['account', 'Account'], ['invitation', 'Invitation']];

const said = (error: unknown) => (error instanceof ApiError ? `Refused: ${error.message}` : 'The server cannot be reached.');

function Field(props: { id: string; label: string; value: string; set: (v: string) => void; type?: string; autocomplete?: string; autofocus?: boolean }) {
  return (
    <>
      <label for={props.id}>{props.label}</label>
      <input id={props.id} type={props.type ?? 'text'} required autofocus={props.autofocus} autocomplete={props.autocomplete ?? 'off'} spellcheck={false}
             value={props.value} onInput={(e) => props.set(e.currentTarget.value)} />
    </>
  );
}

function Enrolled({ codes, done }: { codes: string[]; done: () => void }) {
  return (
    <>
      <p>The account is yours. Keep these codes where you would look for a key: each lets you in once without your phone. They are shown this once.</p>
      <pre tabIndex={0} aria-label="Recovery codes">{codes.join('\n')}</pre>
      <button type="button" class="primary" onClick={done}>Kept; sign in</button>
    </>
  );
}

export function Door({ probe }: { probe: string }) {
  const [way, setWay] = useState<Way>('token');
  const [name, setName] = useState('');
  const [secret, setSecret] = useState(''); // token or password
  const [code, setCode] = useState('');
  const [invitation, setInvitation] = useState('');
  const [factor, setFactor] = useState<SecondFactor | null>(null);
  const [codes, setCodes] = useState<string[] | null>(null);
  const [busy, setBusy] = useState(false);
  const turn = (to: Way) => (setWay(to), setFactor(null), setCodes(null), setCode(''), setSecret(''), (problem.value = ''));
  const enter: Record<Way, () => Promise<void>> = {
    token: () => signIn(secret, probe),
    account: async () => signIn((await sessionFor(name, secret, code)).token, probe),
    invitation: async () => {
      if (!factor) setFactor(await secretFor(name, invitation, secret));
      else setCodes((await enrolled(name, invitation, secret, code)).recovery_codes);
    },
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true), (problem.value = '');
    await enter[way]().catch((e) => (problem.value = said(e)));
    setBusy(false);
  };
  const account = <Field id="name" label="Name" value={name} set={setName} autocomplete="username" autofocus />;
  const forms: Record<Way, ComponentChildren> = {
    token: (
      <>
        <Field id="token" label="Token" type="password" value={secret} set={setSecret} autofocus />
        <p class="soft">The content of the controller's admin_token_file, or what <code>qanat token create</code> made. It stays in this tab.</p>
      </>
    ),
    account: (
      <>
        {account}
        <Field id="password" label="Password" type="password" value={secret} set={setSecret} autocomplete="current-password" />
        <Field id="code" label="Code of your authenticator" value={code} set={setCode} autocomplete="one-time-code" />
        <p class="soft">Six digits, each good once; or one of your recovery codes.</p>
      </>
    ),
    invitation: factor ? (
      <>
        <p>Give this to your authenticator: <a href={factor.uri}>open it there</a>, or type the key in.</p>
        <pre tabIndex={0} aria-label="Key for the authenticator" data-test="secret">{factor.secret.match(/.{1,4}/g)!.join(' ')}</pre>
        <Field id="code" label="The code that it shows" value={code} set={setCode} autocomplete="one-time-code" autofocus />
      </>
    ) : (
      <>
        {account}
        <Field id="invitation" label="Invitation" value={invitation} set={setInvitation} />
        <Field id="password" label="New password, 12 characters or more" type="password" value={secret} set={setSecret} autocomplete="new-password" />
        <p class="soft">From <code>qanat account invite</code>; good once, for a week.</p>
      </>
    ),
  };
  return (
    <main class="sign-in">
      <form onSubmit={submit}>
        <img src="/ui/icon.svg" alt="" width="44" height="44" />
        <h1>Qanat controller</h1>
        <fieldset class="segments">
          <legend>By</legend>
          {kWays.map(([one, label]) => (
            <label key={one}>
              <input type="radio" name="way" checked={way === one} onChange={() => turn(one)} />
              <span>{label}</span>
            </label>
          ))}
        </fieldset>
        {codes ? <Enrolled codes={codes} done={() => turn('account')} /> : (
          <>
            {forms[way]}
            <button class="primary" disabled={busy}>{way !== 'invitation' ? 'Sign in' : factor ? 'Finish' : 'Go on'}</button>
          </>
        )}
        <p role="alert" class="bad">{problem.value}</p>
      </form>
    </main>
  );
}
