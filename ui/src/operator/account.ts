// Signing in as a person: password and second factor for a token of some hours; enrolling with an invitation before that.
import { ApiError } from '../shell/api';

export interface SecondFactor {
  secret: string;
  uri: string;
}

// Needs no token; throws ApiError in the server's words, with its hint.
async function knock<T>(path: string, body: unknown): Promise<T> {
  const answer = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, cache: 'no-store', body: JSON.stringify(body) });
  if (answer.ok) return answer.json() as Promise<T>;
  const error = (await answer.json().catch(() => ({}))).error ?? {};
  throw new ApiError(answer.status, error.code ?? '', `${error.message ?? `HTTP ${answer.status}`}${error.hint ? ` (${error.hint})` : ''}`);
}

export const sessionFor = (name: string, password: string, code: string) => knock<{ token: string }>('/v1/sign-in', { name, password, code: code.replaceAll(' ', '') });
export const secretFor = (name: string, invitation: string, password: string) => knock<SecondFactor>('/v1/enrol', { name, invitation, password });
export const enrolled = (name: string, invitation: string, password: string, code: string) =>
  knock<{ recovery_codes: string[] }>('/v1/enrol', { name, invitation, password, code: code.replaceAll(' ', '') });
