//! Which deliveries an occurrence has, and which of them end before they begin. Pure.

use chrono::{DateTime, Utc};
use shared::contract::Channel;
use uuid::Uuid;

use crate::{
    delivery::{Address, DeliveryKey, Dispatch, address_digest, reason},
    store::intake::LiveDevice,
};

/// A delivery to be written.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) key: DeliveryKey,
    pub(super) address: Address,
    /// Why it is not made at all.
    pub(super) ended: Option<&'static str>,
}

/// The deliveries of an occurrence: one for each device and one for the mailbox, as its channels say. A channel on which
/// nobody can be reached, or whose time has passed, has one as well, which says so.
pub(super) fn rows(
    dispatch: &Dispatch,
    devices: &[LiveDevice],
    is_suppressed: impl Fn(&[u8]) -> bool,
    now: DateTime<Utc>,
) -> Vec<Planned> {
    let mut rows = Vec::with_capacity(devices.len() + 1);
    for &channel in &dispatch.send.content.channels {
        let row = |device_id, address| {
            let ended = if let Address::Gone(reason) = address { Some(reason) } else { None };
            Planned { key: DeliveryKey { occurrence_id: dispatch.occurrence_id(), channel, device_id }, address, ended }
        };
        match channel {
            _ if now >= dispatch.send.expires_at => rows.push(row(Uuid::nil(), Address::Gone(reason::EXPIRED))),
            Channel::Push if devices.is_empty() => rows.push(row(Uuid::nil(), Address::Gone(reason::NO_DEVICE))),
            Channel::Push => rows.extend(devices.iter().map(|device| row(device.id, address(device)))),
            Channel::Email => rows.push(row(Uuid::nil(), mailbox(dispatch.user_email.as_deref(), &is_suppressed))),
        }
    }
    rows
}

fn address(device: &LiveDevice) -> Address {
    Address::Device { token: device.token.clone(), device_type: device.device_type, version: device.version }
}

fn mailbox(address: Option<&str>, is_suppressed: impl Fn(&[u8]) -> bool) -> Address {
    match address.map(str::trim) {
        Some(address) if address.parse::<lettre::Address>().is_err() => Address::Gone(reason::NO_ADDRESS),
        Some(address) if is_suppressed(&address_digest(address)) => Address::Gone(reason::ADDRESS_SUPPRESSED),
        Some(address) => Address::Mailbox(address.to_owned()),
        None => Address::Gone(reason::NO_ADDRESS),
    }
}

#[cfg(test)]
mod tests {
    use shared::contract::{NotifyContent, Priority, SendData};

    use super::*;
    use crate::device::{DeviceType, Token};

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
            content,
        };
        Dispatch {
            user_id: "u".to_owned(),
            user_email: email.map(ToOwned::to_owned),
            version: 1,
            send,
            deliveries: 0,
            traceparent: None,
        }
    }

    fn device(id: u128) -> LiveDevice {
        let token = Token::parse(format!("token-{id}")).expect("a token");
        LiveDevice { id: Uuid::from_u128(id), user_id: "u".to_owned(), token, device_type: DeviceType::Web, version: 1 }
    }

    fn ends(rows: &[Planned]) -> Vec<(Channel, Option<&'static str>)> {
        rows.iter().map(|row| (row.key.channel, row.ended)).collect()
    }

    #[test]
    fn there_is_one_for_each_device_and_one_for_the_mailbox() {
        let rows = rows(
            &dispatch(vec![Channel::Email, Channel::Push], Some("a@example.com")),
            &[device(2), device(3)],
            |_| false,
            DateTime::UNIX_EPOCH,
        );
        let keys: Vec<_> = rows.iter().map(|row| (row.key.channel, row.key.device_id.as_u128())).collect();
        assert_eq!(keys, [(Channel::Email, 0), (Channel::Push, 2), (Channel::Push, 3)]);
        assert!(rows.iter().all(|row| row.ended.is_none()));
    }

    #[test]
    fn without_a_way_to_the_user_the_reason_is_said() {
        let both = vec![Channel::Email, Channel::Push];
        let now = DateTime::UNIX_EPOCH;
        let none = rows(&dispatch(both.clone(), None), &[], |_| false, now);
        assert_eq!(ends(&none), [(Channel::Email, Some(reason::NO_ADDRESS)), (Channel::Push, Some(reason::NO_DEVICE))]);
        let malformed = rows(&dispatch(vec![Channel::Email], Some("nobody")), &[], |_| false, now);
        assert_eq!(ends(&malformed), [(Channel::Email, Some(reason::NO_ADDRESS))]);
        let bounced = rows(
            &dispatch(vec![Channel::Email], Some("A@example.com")),
            &[],
            |digest| digest == address_digest("a@example.com"),
            now,
        );
        assert_eq!(ends(&bounced), [(Channel::Email, Some(reason::ADDRESS_SUPPRESSED))]);
    }

    #[test]
    fn what_has_expired_is_not_made_on_any_channel() {
        let dispatch = dispatch(vec![Channel::Email, Channel::Push], Some("a@example.com"));
        let rows = rows(&dispatch, &[device(2)], |_| false, dispatch.send.expires_at);
        assert_eq!(ends(&rows), [(Channel::Email, Some(reason::EXPIRED)), (Channel::Push, Some(reason::EXPIRED))]);
    }
}
