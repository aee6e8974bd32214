-- What a provider allows the whole installation to send. Each process that sends leases the next part of it, a few hundred
-- milliseconds at a time and never a message at a time, so that any number of them together keep to it. A process that dies
-- forfeits what it had leased.

create table send_budgets (
    channel      text primary key,
    -- Everything up to here is leased: the next lease begins here, or now where that is later.
    leased_until timestamptz not null default '-infinity',
    -- Messages left of the provider's quota of 24 hours, as it was last read, less what was leased since. Null: it has
    -- none, or it has not been read yet.
    day_left     bigint
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
-- The rows are there from the start: a lease is one update and never an insert.
insert into send_budgets (channel) values ('push'), ('email');

-- Devices that were removed, or whose token moved to another user, a moment ago. A push that waits in a process's memory was
-- addressed before; each process looks here once a second and begins no push to what it finds. A trigger, so that no way of
-- deleting a device can be forgotten. Rows are deleted after two minutes, well after every lease has ended.
create table departed_devices (
    device_id uuid primary key,
    at        timestamptz not null default now()
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

create function note_departed_devices() returns trigger language plpgsql as $$
begin
    insert into departed_devices (device_id) select id from gone on conflict (device_id) do nothing;
    return null;
end
$$;
create trigger devices_depart after delete on devices referencing old table as gone
    for each statement execute function note_departed_devices();
