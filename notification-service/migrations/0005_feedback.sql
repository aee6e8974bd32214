-- What SES says of an e-mail after it accepted it (a bounce, a complaint) names it by SES's own id.

-- Deliveries are written thousands of times a second, nearly all of them pushes, whose providers never come back: they are not
-- in this index and cost it nothing. An e-mail is entered once, when SES has accepted it; and that update writes every index
-- of its row anyway, since it moves it out of deliveries_waiting.
create index deliveries_by_provider_message on deliveries (provider_message_id)
    where channel = 'email' and provider_message_id is not null;
