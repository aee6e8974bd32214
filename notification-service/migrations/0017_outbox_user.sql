-- no-transaction
-- What waits for the topic of an erased user is found by the user: the whole table was read before, and each body parsed as
-- JSON. The table is small, except while the bus is away. Built beside the writers.
create index concurrently if not exists outbox_user on outbox ((attributes ->> 'userId'));
