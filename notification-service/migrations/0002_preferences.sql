-- How users want to be reached, and what of the ledger follows from it: deliveries that wait for the end of quiet hours, and
-- deliveries that are not wanted any more.

-- No row: nothing was ever set, and everything is allowed at any time.
create table preferences (
    user_id     text primary key,
    push        boolean not null,
    email       boolean not null,
    -- Times of day on the wall clock of the zone.
    quiet_start time,
    quiet_end   time check (quiet_end <> quiet_start),
    time_zone   text,
    locale      text,
    updated_at  timestamptz not null default now(),
    check (num_nulls(quiet_start, quiet_end, time_zone) in (0, 3))
);

alter table deliveries
    -- While pending: a process holds it until next_attempt_at. What nobody holds can be ended at once.
    add column leased boolean not null default false,
    -- Of a delivery that was deferred: the end of the quiet hours, when it is sent. It stays when it is claimed.
    add column deferred_until timestamptz,
    -- Why it is not to be made any more, written while somebody holds it: what the attempt under way comes to is still
    -- recorded, but no other follows.
    add column withdrawn text;

-- A deferred delivery is claimed like a pending one when its time comes.
create index deliveries_waiting_or_deferred on deliveries (channel, next_attempt_at) where state in ('pending', 'deferred');
drop index deliveries_waiting;
alter index deliveries_waiting_or_deferred rename to deliveries_waiting;
