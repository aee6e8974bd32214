-- Schedulers that find nothing due sleep, and whoever plans an occurrence for the near future wakes them.

create table scheduler_sleep (
    only_row     boolean primary key default true check (only_row),
    -- Until when schedulers may be asleep.
    asleep_until timestamptz not null default '-infinity'
);
insert into scheduler_sleep default values;

-- Wakes schedulers that may be asleep. Without that it takes no lock.
create function wake_schedulers() returns void language plpgsql as $$
begin
    update scheduler_sleep set asleep_until = '-infinity' where asleep_until > now();
    if found then
        perform pg_notify('occurrences', '');
    end if;
end
$$;

-- Commands are rare and urgent: each statement that writes some wakes the schedulers.
create function notify_of_commands() returns trigger language plpgsql as $$
begin
    perform pg_notify('commands', '');
    return null;
end
$$;
create trigger commands_written after insert on commands for each statement execute function notify_of_commands();
