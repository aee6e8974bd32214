//! Which deliveries an occurrence has, which of them end before they begin, and which have to wait.
//! Pure.

use chrono::{DateTime, Utc};
use shared::contract::Channel;
use uuid::Uuid;

use crate::{
    delivery::{Address, DeliveryKey, Dispatch, address_digest, reason},
    preferences::Preferences,
    store::intake::LiveDevice,
};

/// A delivery to be written.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) key: DeliveryKey,
    pub(super) address: Address,
    pub(super) fate: Fate,
    /// Of one that is made: when it may begin, where it may not begin now, and why.
    pub(super) not_before: Option<(DateTime<Utc>, &'static str)>,
}

/// What becomes of a delivery at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is made.
    Made,
    /// It is made at this time: the end of quiet hours.
    Deferred(DateTime<Utc>),
    /// It is not made at all, for this reason.
    Ended(&'static str),
}

/// Makes an occurrence what its user prefers: its language, where it names none; and while quiet
/// hours put it off, its time to live begins when they end. Answers until when it waits.
pub(super) fn suit(
    dispatch: &mut Dispatch,
    preferences: &Preferences,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let send = &mut dispatch.send;
    preferences.suit(&mut send.content);
    let until =
        preferences.holds_back(send.content.priority, now).filter(|_| now < send.expires_at)?;
    let lifetime = send.expires_at - send.due_at;
    send.expires_at =
        send.expires_at.max(until.checked_add_signed(lifetime).unwrap_or(send.expires_at));
    Some(until)
}

/// The deliveries of an occurrence that was cancelled before it came: one on each channel, which
/// says so.
pub(super) fn cancelled(dispatch: &Dispatch) -> Vec<Planned> {
    let (occurrence_id, device_id) = (dispatch.occurrence_id(), Uuid::nil());
    let row = |&channel| Planned {
        key: DeliveryKey { occurrence_id, channel, device_id },
        address: Address::Gone(reason::CANCELLED),
        fate: Fate::Ended(reason::CANCELLED),
        not_before: None,
    };
    dispatch.send.content.channels.iter().map(row).collect()
}

/// The deliveries of an occurrence: one for each device and one for the mailbox, as its channels
/// say. A channel on which nobody can be reached, which the user switched off, or whose time has
/// passed, has one as well, which says so.
pub(super) fn rows(
    dispatch: &Dispatch,
    devices: &[LiveDevice],
    is_suppressed: impl Fn(&[u8]) -> bool,
    preferences: &Preferences,
    until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Vec<Planned> {
    let mut rows = Vec::with_capacity(devices.len() + 1);
    for &channel in &dispatch.send.content.channels {
        let row = |device_id, address| {
            let fate = match (&address, until) {
                (Address::Gone(reason), _) => Fate::Ended(reason),
                (_, Some(until)) => Fate::Deferred(until),
                (_, None) => Fate::Made,
            };
            let key = DeliveryKey { occurrence_id: dispatch.occurrence_id(), channel, device_id };
            Planned { key, address, fate, not_before: None }
        };
        match channel {
            _ if now >= dispatch.send.expires_at => {
                rows.push(row(Uuid::nil(), Address::Gone(reason::EXPIRED)))
            }
            _ if !preferences.allows(channel) => {
                rows.push(row(Uuid::nil(), Address::Gone(reason::OPTED_OUT)))
            }
            Channel::Push if devices.is_empty() => {
                rows.push(row(Uuid::nil(), Address::Gone(reason::NO_DEVICE)))
            }
            Channel::Push => {
                rows.extend(devices.iter().map(|device| row(device.id, address(device))))
            }
            Channel::Email => {
                rows.push(row(Uuid::nil(), mailbox(dispatch.user_email.as_deref(), &is_suppressed)))
            }
        }
    }
    rows
}

fn address(device: &LiveDevice) -> Address {
    let Some(device_type) = device.device_type else { return Address::Gone(reason::UNREADABLE) };
    Address::Device { token: device.token.clone(), device_type, version: device.version }
}

fn mailbox(address: Option<&str>, is_suppressed: impl Fn(&[u8]) -> bool) -> Address {
    match address.map(str::trim) {
        Some(address) if address.parse::<lettre::Address>().is_err() => {
            Address::Gone(reason::NO_ADDRESS)
        }
        Some(address) if is_suppressed(&address_digest(address)) => {
            Address::Gone(reason::ADDRESS_SUPPRESSED)
        }
        Some(address) => Address::Mailbox(address.to_owned()),
        None => Address::Gone(reason::NO_ADDRESS),
    }
}

#[cfg(test)]
mod tests {
    use shared::contract::{NotifyContent, Priority, SendData};

    use super::*;
    use crate::{
        device::{DeviceType, Token},
        preferences::Locale,
    };

    fn dispatch(channels: Vec<Channel>, email: Option<&str>) -> Dispatch {
        let now = DateTime::UNIX_EPOCH;
        let content = NotifyContent {
            channels,
            title: None,
            message: "Water the plants".to_owned(),
            url: None,
            data: Default::default(),
            priority: Priority::Normal,
            locale: None,
            time_zone: "UTC".to_owned(),
            expires_after_minutes: 1,
        };
        let send = SendData {
            occurrence_id: Uuid::from_u128(1).simple(),
            source: "reminder".to_owned(),
            item_id: "a".parse().expect("an id"),
            due_at: now,
            date: now,
            expires_at: now + chrono::TimeDelta::minutes(1),
            item_changed_at: None,
            as_of: None,
            content,
        };
        Dispatch {
            user_id: "u".to_owned(),
            user_email: email.map(ToOwned::to_owned),
            version: 1,
            send,
            deliveries: 0,
            traceparent: None,
            arrival: None,
        }
    }

    fn device(id: u128) -> LiveDevice {
        let token = Token::parse(format!("token-{id}")).expect("a token");
        LiveDevice {
            id: Uuid::from_u128(id),
            user_id: "u".to_owned(),
            token,
            device_type: Some(DeviceType::Web),
            version: 1,
        }
    }

    fn fates(rows: &[Planned]) -> Vec<(Channel, Fate)> {
        rows.iter().map(|row| (row.key.channel, row.fate)).collect()
    }

    fn planned(
        dispatch: &Dispatch,
        devices: &[LiveDevice],
        is_suppressed: impl Fn(&[u8]) -> bool,
    ) -> Vec<Planned> {
        rows(dispatch, devices, is_suppressed, &Preferences::default(), None, DateTime::UNIX_EPOCH)
    }

    fn at_night() -> Preferences {
        let quiet_hours =
            crate::preferences::QuietHours::parse("23:00", "06:00", None).expect("quiet hours");
        Preferences { quiet_hours: Some(quiet_hours), ..Preferences::default() }
    }

    #[test]
    fn there_is_one_for_each_device_and_one_for_the_mailbox() {
        let dispatch = dispatch(vec![Channel::Email, Channel::Push], Some("a@example.com"));
        let rows = planned(&dispatch, &[device(2), device(3)], |_| false);
        let keys: Vec<_> =
            rows.iter().map(|row| (row.key.channel, row.key.device_id.as_u128())).collect();
        assert_eq!(keys, [(Channel::Email, 0), (Channel::Push, 2), (Channel::Push, 3)]);
        assert!(rows.iter().all(|row| row.fate == Fate::Made));
    }

    #[test]
    fn without_a_way_to_the_user_the_reason_is_said() {
        let both = vec![Channel::Email, Channel::Push];
        let none = planned(&dispatch(both, None), &[], |_| false);
        let no_way = [
            (Channel::Email, Fate::Ended(reason::NO_ADDRESS)),
            (Channel::Push, Fate::Ended(reason::NO_DEVICE)),
        ];
        assert_eq!(fates(&none), no_way);
        let malformed = planned(&dispatch(vec![Channel::Email], Some("nobody")), &[], |_| false);
        assert_eq!(fates(&malformed), [(Channel::Email, Fate::Ended(reason::NO_ADDRESS))]);
        let bounced =
            planned(&dispatch(vec![Channel::Email], Some("A@example.com")), &[], |digest| {
                digest == address_digest("a@example.com")
            });
        assert_eq!(fates(&bounced), [(Channel::Email, Fate::Ended(reason::ADDRESS_SUPPRESSED))]);
    }

    #[test]
    fn what_has_expired_is_not_made_on_any_channel() {
        let dispatch = dispatch(vec![Channel::Email, Channel::Push], Some("a@example.com"));
        let nobody = |_: &[u8]| false;
        let rows = rows(
            &dispatch,
            &[device(2)],
            nobody,
            &Preferences::default(),
            None,
            dispatch.send.expires_at,
        );
        let expired = Fate::Ended(reason::EXPIRED);
        assert_eq!(fates(&rows), [(Channel::Email, expired), (Channel::Push, expired)]);
    }

    #[test]
    fn a_channel_that_is_switched_off_has_one_delivery_that_says_so() {
        let dispatch = dispatch(vec![Channel::Email, Channel::Push], Some("a@example.com"));
        let preferences = Preferences { push: false, ..Preferences::default() };
        let rows = rows(
            &dispatch,
            &[device(2), device(3)],
            |_| false,
            &preferences,
            None,
            DateTime::UNIX_EPOCH,
        );
        assert_eq!(
            fates(&rows),
            [(Channel::Email, Fate::Made), (Channel::Push, Fate::Ended(reason::OPTED_OUT))]
        );
    }

    #[test]
    fn what_waits_for_the_morning_lives_as_long_from_then_on() {
        let (now, morning) =
            (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(6));
        let mut dispatch = dispatch(vec![Channel::Email, Channel::Push], Some("a@example.com"));
        let until = suit(&mut dispatch, &at_night(), now);
        assert_eq!(
            (until, dispatch.send.expires_at),
            (Some(morning), morning + chrono::TimeDelta::minutes(1))
        );
        let rows = rows(&dispatch, &[], |_| false, &at_night(), until, now);
        let [email, push] = [Fate::Deferred(morning), Fate::Ended(reason::NO_DEVICE)];
        assert_eq!(fates(&rows), [(Channel::Email, email), (Channel::Push, push)]);
    }

    #[test]
    fn what_is_urgent_or_has_expired_does_not_wait() {
        let mut urgent = dispatch(vec![Channel::Push], None);
        urgent.send.content.priority = Priority::High;
        assert_eq!(suit(&mut urgent, &at_night(), DateTime::UNIX_EPOCH), None);
        let mut expired = dispatch(vec![Channel::Push], None);
        let expires_at = expired.send.expires_at;
        assert_eq!(suit(&mut expired, &at_night(), expires_at), None);
        assert_eq!(expired.send.expires_at, expires_at);
    }

    #[test]
    fn the_users_language_is_for_what_names_none() {
        let preferences =
            Preferences { locale: Locale::parse("de".to_owned()).ok(), ..Preferences::default() };
        for (own, shown) in [(None, "de"), (Some("fr"), "fr")] {
            let mut dispatch = dispatch(vec![Channel::Push], None);
            dispatch.send.content.locale = own.map(ToOwned::to_owned);
            suit(&mut dispatch, &preferences, DateTime::UNIX_EPOCH);
            assert_eq!(dispatch.send.content.locale.as_deref(), Some(shown));
        }
    }
}
