// What an API says now, asked for again and again while the page shows it.
import { useEffect, useState } from 'preact/hooks';
import { ApiError } from './api';
import { api, explained, signOut } from './session';

const kEvery_ms = 2000;

export interface Polled<T> {
  value: T | null; // null: not yet
  problem: string; // '' while it answers; the last value stays
  again: () => void; // now, for instance after a change
}

export function usePolled<T>(path: string, every_ms = kEvery_ms): Polled<T> {
  const [value, setValue] = useState<T | null>(null);
  const [problem, setProblem] = useState('');
  const [round, setRound] = useState(0);
  useEffect(() => setValue(null), [path]);
  useEffect(() => {
    let timer = 0, over = false;
    const ask = async () => {
      try {
        const got = await api.value!.get<T>(path);
        if (!over) setValue(got), setProblem('');
      } catch (error) {
        if (error instanceof ApiError && error.status === 401) return signOut('Signed out: the token is not accepted any more.');
        if (!over) setProblem(explained(error));
      }
      if (!over) timer = window.setTimeout(ask, document.hidden ? 5 * every_ms : every_ms);
    };
    void ask();
    return () => ((over = true), clearTimeout(timer));
  }, [path, round]);
  return { value, problem, again: () => setRound((n) => n + 1) };
}

// A change, and then a fresh look: `busy` while it is under way, `refused` in the server's words.
export function useChange(after: () => void) {
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState('');
  const change = async (method: string, path: string, body?: unknown) => {
    setBusy(true), setRefused('');
    await api.value!.send(method, path, body).catch((e) => setRefused(explained(e)));
    setBusy(false);
    after();
  };
  return { busy, refused, change };
}
