// Who is signed in: a token in this tab's session storage, tried on the server before it is kept.
import { signal } from '@preact/signals';
import { Api, ApiError } from './api';

const kKey = 'qanat-token';

export const api = signal<Api | null>(null);
export const problem = signal('');

// `probe` is a cheap route that needs the token.
export async function signIn(token: string, probe: string): Promise<void> {
  problem.value = '';
  const candidate = new Api(token.trim());
  try {
    await candidate.get(probe);
  } catch (error) {
    signOut();
    problem.value = explained(error);
    return;
  }
  sessionStorage.setItem(kKey, candidate.token);
  api.value = candidate;
}

export async function resume(probe: string): Promise<void> {
  const token = sessionStorage.getItem(kKey);
  if (token) await signIn(token, probe);
}

// `leave`: a route that ends the token itself, where a server has sessions.
export const leave = signal('');

export function signOut(why = ''): void {
  if (leave.value && api.value) void api.value.send('POST', leave.value).catch(() => undefined);
  sessionStorage.removeItem(kKey);
  api.value = null;
  problem.value = why;
}

export function explained(error: unknown): string {
  if (error instanceof ApiError)
    return error.status === 401 ? 'Refused: this is not a token that this server knows.' : `Refused: ${error.message}`;
  return 'The server cannot be reached.';
}
