-- Since when a row waits in the outbox, and which rows are parked.

-- A lease is renewed while the bus is away, and most ids carry no time: only this tells how long a row waits. The default is
-- kept with the table: no row is rewritten.
alter table outbox add column created_at timestamptz not null default now();
create index outbox_parked on outbox (event_id) where parked_reason is not null;
