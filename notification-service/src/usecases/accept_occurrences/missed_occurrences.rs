//! Occurrences of one item that the same quiet hours deferred: the last of them is sent, the others
//! are missed. Pure.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use contract::Channel;
use uuid::Uuid;

use crate::domain::delivery::{DeliveryKey, Dispatch};

/// Item on a channel: its user, its source, its id, and the channel.
pub(super) type Series<'a> = (&'a str, &'a str, &'a str, Channel);

/// Series of a delivery.
pub(super) fn series_of(dispatch: &Dispatch, channel: Channel) -> Series<'_> {
    (&dispatch.user_id, &dispatch.send.source, dispatch.send.item_id.as_str(), channel)
}

/// Returns those of some deferred deliveries that a later occurrence of their series replaces.
pub(super) fn missed<'a>(
    deferred: impl Iterator<Item = (Series<'a>, DateTime<Utc>, DeliveryKey)> + Clone,
) -> HashSet<DeliveryKey> {
    let mut last = HashMap::<Series<'a>, (DateTime<Utc>, Uuid)>::new();
    for (series, due_at, key) in deferred.clone() {
        let of_delivery = (due_at, key.occurrence_id);
        let known = last.entry(series).or_insert(of_delivery);
        *known = (*known).max(of_delivery);
    }
    let is_last = |series: &Series<'a>, occurrence: Uuid| {
        last.get(series).is_some_and(|last| last.1 == occurrence)
    };
    deferred
        .filter(|(series, _, key)| !is_last(series, key.occurrence_id))
        .map(|(_, _, key)| key)
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const PILLS: Series<'static> = ("ada", "reminder", "pills", Channel::Push);

    fn delivery(
        series: Series<'static>,
        minute: i64,
        device: u128,
    ) -> (Series<'static>, DateTime<Utc>, DeliveryKey) {
        let due_at = DateTime::UNIX_EPOCH + TimeDelta::minutes(minute);
        let occurrence_id = Uuid::new_v5(&Uuid::nil(), format!("{series:?}{minute}").as_bytes());
        (
            series,
            due_at,
            DeliveryKey { occurrence_id, channel: series.3, device_id: Uuid::from_u128(device) },
        )
    }

    #[test]
    fn keeps_last_occurrence_on_every_device() {
        let deliveries: Vec<_> = (0..540)
            .flat_map(|minute| [1, 2].map(|device| delivery(PILLS, minute, device)))
            .collect();
        let missed = missed(deliveries.iter().copied());
        let kept: Vec<_> =
            deliveries.iter().filter(|(.., key)| !missed.contains(key)).copied().collect();
        assert_eq!(kept, [delivery(PILLS, 539, 1), delivery(PILLS, 539, 2)]);
    }

    #[test]
    fn keeps_other_items_channels_and_users() {
        let others = [
            ("bob", "reminder", "pills", Channel::Push),
            ("ada", "notification", "pills", Channel::Push),
            ("ada", "reminder", "plants", Channel::Push),
            ("ada", "reminder", "pills", Channel::Email),
        ];
        let deliveries =
            others.map(|series| delivery(series, 1, 0)).into_iter().chain([delivery(PILLS, 2, 0)]);
        assert!(missed(deliveries).is_empty());
    }
}
