-- Addresses that a user had reminders sent to by e-mail on a day: a user has few, and who names ever new ones sends mail to
-- others. User and address are known by their digests alone; rows are deleted after two days.
create table email_addresses (
    user_digest bytea not null,
    -- In UTC.
    day         date not null,
    address     bytea not null,
    primary key (user_digest, day, address)
);
create index email_addresses_day on email_addresses (day);
