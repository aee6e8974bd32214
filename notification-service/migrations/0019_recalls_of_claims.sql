-- A recall names the claim that it ends. Before, it named an occurrence and channel for 90 seconds,
-- and held back deliveries to other devices however often they were claimed again.
drop table recalls;
create table recalls (
    occurrence_id uuid not null,
    channel       text not null,
    device_id     uuid not null,
    -- Fence token of the recalled claim. Later claims read the newest version.
    fence         integer not null,
    at            timestamptz not null default now(),
    primary key (occurrence_id, channel, device_id)
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
