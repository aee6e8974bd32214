-- Deliveries of an occurrence on a channel that were changed or cancelled a moment ago while a
-- process held them in memory. Each process looks here once a second, and at once after a change of
-- its own, and gives back what it has not begun to send in an older version. Rows are deleted after
-- two minutes, well after every lease has ended.
create table recalls (
    occurrence_id uuid not null,
    channel       text not null,
    -- Deliveries of an older version are recalled.
    version       bigint not null,
    at            timestamptz not null default now(),
    primary key (occurrence_id, channel)
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
