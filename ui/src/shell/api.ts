// What the pages ask the server they came from: JSON over fetch, with the token of whoever signed in.

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint = '',
  ) {
    super(message);
  }
}

export interface ServerEvent {
  name: string;
  data: string;
}

export class Api {
  constructor(readonly token: string) {}

  async get<T>(path: string): Promise<T> {
    return (await this.send('GET', path)).json() as Promise<T>;
  }

  async post<T>(path: string, body: unknown): Promise<T> {
    return (await this.send('POST', path, body)).json() as Promise<T>;
  }

  // Throws ApiError for every answer but 2xx, in the server's own words.
  async send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.token}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    const answer = await fetch(path, {
      method,
      headers,
      cache: 'no-store',
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (answer.ok) return answer;
    const error = (await answer.json().catch(() => ({}))).error ?? {};
    throw new ApiError(answer.status, error.code ?? '', error.message ?? `HTTP ${answer.status}`, error.hint ?? '');
  }

  // Server-sent events (EventSource cannot send a token). Ends when the server does, or by `signal`.
  async *events(path: string, signal: AbortSignal, body?: unknown): AsyncGenerator<ServerEvent> {
    const answer = await this.send(body === undefined ? 'GET' : 'POST', path, body, signal);
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    let buffer = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      buffer += value;
      for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
        yield parseEvent(buffer.slice(0, end));
        buffer = buffer.slice(end + 2);
      }
    }
  }
}

function parseEvent(text: string): ServerEvent {
  const event: ServerEvent = { name: 'message', data: '' };
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const value = line.slice(colon + 1).replace(/^ /, '');
    if (line.startsWith('event:')) event.name = value;
    else if (line.startsWith('data:')) event.data += (event.data ? '\n' : '') + value;
  }
  return event;
}
