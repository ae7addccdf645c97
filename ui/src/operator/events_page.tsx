// What happened since this page was opened.
import { clock } from '../shell/format';
import { Heading, Table } from '../shell/shell';
import { happenings } from './live';

export function EventsPage() {
  return (
    <>
      <Heading>Events</Heading>
      <section class="card">
        <Table label="Events" head={['Time', 'What', 'Of']} empty="Nothing has happened since this page was opened."
               rows={happenings.value.map((h) => [
                 clock(h.at),
                 h.kind.replaceAll('_', ' '),
                 Object.entries(h.fields).map(([key, value]) => `${key} ${value}`).join(' · '),
               ])} />
      </section>
    </>
  );
}
