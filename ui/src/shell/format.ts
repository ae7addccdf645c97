// How numbers are written: units as people of the field read them.

export const ms = (us: number) => (us < 9_950 ? (us / 1000).toFixed(2) : us < 99_500 ? (us / 1000).toFixed(1) : (us / 1000).toFixed(0));
export const percent = (ppm: number) => (ppm === 0 ? '0' : ppm < 1000 ? '<0.1' : (ppm / 10_000).toFixed(1));
export const count = (n: number) => n.toLocaleString('en');
export const clock = (unix_ms: number) => new Date(unix_ms).toLocaleTimeString([], { hour12: false });
export const dateTime = (unix_ms: number) => new Date(unix_ms).toLocaleString([], { hour12: false });

// Nano-currency (an integer, or a string where it is beyond 53 bits) as an exact decimal: 11200 is "0.0000112".
export function money(nano: number | string | null | undefined): string {
  if (nano === null || nano === undefined) return '–';
  const value = BigInt(nano);
  const digits = (value < 0n ? -value : value).toString().padStart(10, '0');
  const fraction = digits.slice(-9).replace(/0+$/, '');
  return `${value < 0n ? '-' : ''}${digits.slice(0, -9)}${fraction ? '.' + fraction : ''}`;
}

// Nano-currency per token, as price lists have it: per million tokens.
export const perMillion = (nano: number) => (nano / 1000).toLocaleString('en', { maximumFractionDigits: 3 });
