-- Messages that belong to a committed change and are not yet acknowledged by the topic. A row is leased to the
-- process that wrote it, which publishes it at once; when that process dies, the lease runs out and any other
-- takes the row. A row that can never be published is parked with its reason instead of being dropped.
create table outbox (
    event_id      uuid primary key,
    body          text not null,
    attributes    jsonb not null,
    lease_until   timestamptz not null,
    parked_reason text
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- Since when a row waits, whoever has leased it meanwhile; and which rows are parked.
alter table outbox add column created_at timestamptz not null default now();
create index outbox_parked on outbox (event_id) where parked_reason is not null;
