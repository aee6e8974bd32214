-- The zone of a floating reminder is that of its user, and changes with it. Versions before this column write fixed zones.
alter table reminders add column is_floating boolean not null default false;

-- One row: how far the changes of users' zones are applied, and the process that reads them now.
create table zone_feed (
    is_only     boolean primary key default true check (is_only),
    -- Cursor of notification-service behind the changes that are applied; null before the first.
    position    text,
    holder      uuid,
    lease_until timestamptz not null default '-infinity'
);
insert into zone_feed default values;
