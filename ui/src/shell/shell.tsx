// What every page stands in: sign-in, the bar with navigation, the main region.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { href, route } from './route';
import { problem, signIn, signOut } from './session';
import { nextTheme, theme } from './theme';

export interface NavItem {
  page: string;
  label: string;
}

export function SignIn(props: { title: string; label: string; help: string; probe: string }) {
  const [token, setToken] = useState('');
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    await signIn(token, props.probe);
    setBusy(false);
  };
  return (
    <main class="sign-in">
      <form onSubmit={submit}>
        <img src="/ui/icon.svg" alt="" width="44" height="44" />
        <h1>{props.title}</h1>
        <label for="token">{props.label}</label>
        <input
          id="token"
          type="password"
          autocomplete="off"
          required
          autofocus
          aria-describedby="token-help"
          value={token}
          onInput={(e) => setToken(e.currentTarget.value)}
        />
        <p id="token-help" class="soft">
          {props.help}
        </p>
        <button class="primary" disabled={busy}>
          Sign in
        </button>
        <p role="alert" class="bad">
          {problem.value}
        </p>
      </form>
    </main>
  );
}

export function Shell(props: { brand: string; nav: NavItem[]; state?: ComponentChildren; children: ComponentChildren }) {
  const current = route.value[0] ?? props.nav[0].page;
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        To the content
      </a>
      <header class="bar">
        <a class="brand" href={href(props.nav[0].page)}>
          <img src="/ui/icon.svg" alt="" width="24" height="24" /> {props.brand}
        </a>
        <nav aria-label="Pages">
          {props.nav.map((item) => (
            <a key={item.page} href={href(item.page)} aria-current={item.page === current ? 'page' : undefined}>
              {item.label}
            </a>
          ))}
        </nav>
        <div class="bar-end">
          {props.state}
          <button onClick={nextTheme} aria-label={`Colours: ${theme.value}`} title={`Colours: ${theme.value}`}>
            {{ auto: '◐', light: '☀', dark: '☾' }[theme.value]}
          </button>
          <button onClick={() => signOut()}>Sign out</button>
        </div>
      </header>
      <main id="main">{props.children}</main>
    </>
  );
}

// '#main' would be taken for a page.
function skip(event: Event) {
  event.preventDefault();
  document.querySelector<HTMLElement>('main h1')?.focus();
}

export function Heading({ children }: { children: ComponentChildren }) {
  return <h1 tabIndex={-1}>{children}</h1>;
}

export function Card(props: { title: string; children: ComponentChildren; class?: string }) {
  return (
    <section class={`card ${props.class ?? ''}`}>
      <h2>{props.title}</h2>
      {props.children}
    </section>
  );
}

// A table that scrolls by itself where the window is too narrow, also by keyboard.
export function Table(props: { label: string; head: ComponentChildren[]; rows: ComponentChildren[][]; empty?: string; numbers?: number[] }) {
  if (props.rows.length === 0) return <p class="soft">{props.empty ?? 'Nothing yet.'}</p>;
  const align = (i: number) => (props.numbers?.includes(i) ? 'number' : undefined);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={props.label}>
      <table>
        <thead>
          <tr>
            {props.head.map((cell, i) => (
              <th key={i} scope="col" class={align(i)}>
                {cell}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row, r) => (
            <tr key={r}>
              {row.map((cell, i) => (
                <td key={i} class={align(i)}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
