-- What waits for the topic of an erased user is found by the user: the whole table was read before, and each body parsed
-- as JSON, in the request that erases. The table is small, except while the bus is away.
create index outbox_user on outbox ((attributes ->> 'userId'));
