//! Deliveries of an occurrence, and the state in which each of them is written. Pure.

use chrono::{DateTime, Utc};
use contract::{Channel, Reason, ReasonCode};
use uuid::Uuid;

use crate::{
    domain::{
        delivery::{Address, DeliveryKey, Dispatch, address_digest},
        preferences::Preferences,
    },
    store::intake::LiveDevice,
};

/// Delivery to be written.
#[derive(Debug, Clone)]
pub(super) struct PlannedDelivery {
    pub(super) key: DeliveryKey,
    pub(super) address: Address,
    pub(super) state: InitialState,
    /// Time before which a pending delivery must not begin, and the reason; `None`: now.
    pub(super) not_before: Option<(DateTime<Utc>, Reason)>,
}

/// State in which a delivery is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InitialState {
    /// The delivery is to be sent.
    Pending,
    /// The delivery is to be sent at this time: the end of quiet hours.
    Deferred(DateTime<Utc>),
    /// The delivery is not sent, for this reason.
    Suppressed(Reason),
}

/// Applies its user's preferences to an occurrence: the language, if the occurrence names none, and
/// quiet hours, at whose end its time to live begins. Returns the end of the quiet hours that defer
/// the occurrence.
pub(super) fn apply_preferences(
    dispatch: &mut Dispatch,
    preferences: &Preferences,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let send = &mut dispatch.send;
    preferences.apply_locale(&mut send.content);
    let until =
        preferences.deferred_until(send.content.priority, now).filter(|_| now < send.expires_at)?;
    let lifetime = send.expires_at - send.due_at;
    send.expires_at =
        send.expires_at.max(until.checked_add_signed(lifetime).unwrap_or(send.expires_at));
    Some(until)
}

/// Returns the deliveries of an occurrence that was cancelled before it arrived: one suppressed
/// delivery on each channel.
pub(super) fn cancelled(dispatch: &Dispatch, reason: Reason) -> Vec<PlannedDelivery> {
    let (occurrence_id, device_id) = (dispatch.occurrence_id(), Uuid::nil());
    let row = |&channel| PlannedDelivery {
        key: DeliveryKey { occurrence_id, channel, device_id },
        address: Address::Gone(reason),
        state: InitialState::Suppressed(reason),
        not_before: None,
    };
    dispatch.send.content.channels.iter().map(row).collect()
}

/// Returns the deliveries of an occurrence that ended before it was released: one suppressed
/// delivery on each channel.
pub(super) fn ended(dispatch: &Dispatch) -> Vec<PlannedDelivery> {
    let reason = dispatch.send.ended.as_ref().and_then(ReasonCode::known);
    cancelled(dispatch, reason.unwrap_or(Reason::Expired))
}

/// Returns the deliveries of an occurrence: one for each device and one for the mailbox, by its
/// channels. A channel without an address, or that the user switched off, has one suppressed
/// delivery; so has every channel of an expired occurrence.
pub(super) fn plan(
    dispatch: &Dispatch,
    devices: &[LiveDevice],
    is_suppressed: impl Fn(&[u8]) -> bool,
    preferences: &Preferences,
    deferred_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Vec<PlannedDelivery> {
    let mut rows = Vec::with_capacity(devices.len() + 1);
    for &channel in &dispatch.send.content.channels {
        let row = |device_id, address| {
            let state = match (&address, deferred_until) {
                (Address::Gone(reason), _) => InitialState::Suppressed(*reason),
                (_, Some(until)) => InitialState::Deferred(until),
                (_, None) => InitialState::Pending,
            };
            let key = DeliveryKey { occurrence_id: dispatch.occurrence_id(), channel, device_id };
            PlannedDelivery { key, address, state, not_before: None }
        };
        match channel {
            _ if now >= dispatch.send.expires_at => {
                rows.push(row(Uuid::nil(), Address::Gone(Reason::Expired)))
            }
            _ if !preferences.allows(channel) => {
                rows.push(row(Uuid::nil(), Address::Gone(Reason::OptedOut)))
            }
            Channel::Push if devices.is_empty() => {
                rows.push(row(Uuid::nil(), Address::Gone(Reason::NoDevice)))
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
    let Some(device_type) = device.device_type else { return Address::Gone(Reason::Unreadable) };
    Address::Device { token: device.token.clone(), device_type, version: device.version }
}

fn mailbox(address: Option<&str>, is_suppressed: impl Fn(&[u8]) -> bool) -> Address {
    match address.map(str::trim) {
        Some(address) if address.parse::<lettre::Address>().is_err() => {
            Address::Gone(Reason::NoAddress)
        }
        Some(address) if is_suppressed(&address_digest(address)) => {
            Address::Gone(Reason::AddressSuppressed)
        }
        Some(address) => Address::Mailbox(address.to_owned()),
        None => Address::Gone(Reason::NoAddress),
    }
}

#[cfg(test)]
mod tests {
    use contract::{NotifyContent, Priority, SendData};

    use super::*;
    use crate::domain::{
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
            ended: None,
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

    fn states(rows: &[PlannedDelivery]) -> Vec<(Channel, InitialState)> {
        rows.iter().map(|row| (row.key.channel, row.state)).collect()
    }

    fn planned(
        dispatch: &Dispatch,
        devices: &[LiveDevice],
        is_suppressed: impl Fn(&[u8]) -> bool,
    ) -> Vec<PlannedDelivery> {
        plan(dispatch, devices, is_suppressed, &Preferences::default(), None, DateTime::UNIX_EPOCH)
    }

    fn at_night() -> Preferences {
        let quiet_hours = crate::domain::preferences::QuietHours::parse("23:00", "06:00", None)
            .expect("quiet hours");
        Preferences { quiet_hours: Some(quiet_hours), ..Preferences::default() }
    }

    #[test]
    fn plans_delivery_for_each_device_and_mailbox() {
        let dispatch = dispatch(vec![Channel::Email, Channel::Push], Some("a@example.com"));
        let rows = planned(&dispatch, &[device(2), device(3)], |_| false);
        let keys: Vec<_> =
            rows.iter().map(|row| (row.key.channel, row.key.device_id.as_u128())).collect();
        assert_eq!(keys, [(Channel::Email, 0), (Channel::Push, 2), (Channel::Push, 3)]);
        assert!(rows.iter().all(|row| row.state == InitialState::Pending));
    }

    #[test]
    fn suppresses_delivery_without_address() {
        let both = vec![Channel::Email, Channel::Push];
        let none = planned(&dispatch(both, None), &[], |_| false);
        let no_address = [
            (Channel::Email, InitialState::Suppressed(Reason::NoAddress)),
            (Channel::Push, InitialState::Suppressed(Reason::NoDevice)),
        ];
        assert_eq!(states(&none), no_address);
        let malformed = planned(&dispatch(vec![Channel::Email], Some("nobody")), &[], |_| false);
        assert_eq!(
            states(&malformed),
            [(Channel::Email, InitialState::Suppressed(Reason::NoAddress))]
        );
        let bounced =
            planned(&dispatch(vec![Channel::Email], Some("A@example.com")), &[], |digest| {
                digest == address_digest("a@example.com")
            });
        assert_eq!(
            states(&bounced),
            [(Channel::Email, InitialState::Suppressed(Reason::AddressSuppressed))]
        );
    }

    #[test]
    fn suppresses_every_channel_when_expired() {
        let dispatch = dispatch(vec![Channel::Email, Channel::Push], Some("a@example.com"));
        let nobody = |_: &[u8]| false;
        let rows = plan(
            &dispatch,
            &[device(2)],
            nobody,
            &Preferences::default(),
            None,
            dispatch.send.expires_at,
        );
        let expired = InitialState::Suppressed(Reason::Expired);
        assert_eq!(states(&rows), [(Channel::Email, expired), (Channel::Push, expired)]);
    }

    #[test]
    fn suppresses_channel_that_is_switched_off() {
        let dispatch = dispatch(vec![Channel::Email, Channel::Push], Some("a@example.com"));
        let preferences = Preferences { push: false, ..Preferences::default() };
        let rows = plan(
            &dispatch,
            &[device(2), device(3)],
            |_| false,
            &preferences,
            None,
            DateTime::UNIX_EPOCH,
        );
        assert_eq!(
            states(&rows),
            [
                (Channel::Email, InitialState::Pending),
                (Channel::Push, InitialState::Suppressed(Reason::OptedOut))
            ]
        );
    }

    #[test]
    fn extends_expiry_when_deferred() {
        let (now, morning) =
            (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(6));
        let mut dispatch = dispatch(vec![Channel::Email, Channel::Push], Some("a@example.com"));
        let until = apply_preferences(&mut dispatch, &at_night(), now);
        assert_eq!(
            (until, dispatch.send.expires_at),
            (Some(morning), morning + chrono::TimeDelta::minutes(1))
        );
        let rows = plan(&dispatch, &[], |_| false, &at_night(), until, now);
        let [email, push] =
            [InitialState::Deferred(morning), InitialState::Suppressed(Reason::NoDevice)];
        assert_eq!(states(&rows), [(Channel::Email, email), (Channel::Push, push)]);
    }

    #[test]
    fn defers_neither_urgent_nor_expired_occurrence() {
        let mut urgent = dispatch(vec![Channel::Push], None);
        urgent.send.content.priority = Priority::High;
        assert_eq!(apply_preferences(&mut urgent, &at_night(), DateTime::UNIX_EPOCH), None);
        let mut expired = dispatch(vec![Channel::Push], None);
        let expires_at = expired.send.expires_at;
        assert_eq!(apply_preferences(&mut expired, &at_night(), expires_at), None);
        assert_eq!(expired.send.expires_at, expires_at);
    }

    #[test]
    fn uses_language_of_user_when_none_is_named() {
        let preferences =
            Preferences { locale: Locale::parse("de".to_owned()).ok(), ..Preferences::default() };
        for (own, shown) in [(None, "de"), (Some("fr"), "fr")] {
            let mut dispatch = dispatch(vec![Channel::Push], None);
            dispatch.send.content.locale = own.map(ToOwned::to_owned);
            apply_preferences(&mut dispatch, &preferences, DateTime::UNIX_EPOCH);
            assert_eq!(dispatch.send.content.locale.as_deref(), Some(shown));
        }
    }
}
