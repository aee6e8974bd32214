//! Packs of one queue that were received and are not settled. Pure but for the clock.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use crate::{Message, Receipt, Received, Settlement};

/// Start of the receipt of an event of a pack. Receipts of SQS and of the postgres bus have no
/// colon.
const PREFIX: &str = "pack:";
/// Time after the end of its visibility for which a pack is remembered.
const GRACE: Duration = Duration::from_secs(60);

/// Packs that were received and are not settled.
#[derive(Debug)]
pub(super) struct OpenPacks {
    by_receipt: HashMap<Receipt, OpenPack>,
    /// Events for each message of the bus, by the last receives.
    load: usize,
}

/// A pack of which some events are not settled.
#[derive(Debug)]
struct OpenPack {
    /// The pack, without its body.
    pack: Received,
    is_settled: Vec<bool>,
    unsettled: usize,
    /// Events that are to be received again, each after a time.
    again: Vec<(Message, Duration)>,
    /// `true` if an event was done or rejected, so that the pack must not be received again.
    has_ended: bool,
    forget_at: Instant,
}

/// A pack whose events are all settled.
#[derive(Debug)]
pub(super) struct EndedPack {
    /// The pack, without its body.
    pub(super) pack: Received,
    /// Settlement of the pack.
    pub(super) settlement: Settlement,
    /// Events to send to the queue again before the pack is settled.
    pub(super) again: Vec<(Message, Duration)>,
}

impl Default for OpenPacks {
    fn default() -> Self {
        Self { by_receipt: HashMap::new(), load: 1 }
    }
}

impl OpenPacks {
    /// Number of messages of the bus to receive for at most `max` events, by the last receives.
    pub(super) fn most_messages(&self, max: usize) -> usize {
        (max / self.load).max(1).min(max)
    }

    /// Records the number of messages that were received, and of the events in them.
    pub(super) fn record_load(&mut self, messages: usize, events: usize) {
        if messages > 0 {
            self.load = events.div_ceil(messages).max(self.load / 2).max(1);
        }
    }

    /// Adds a pack that was received; returns its events as messages.
    pub(super) fn open(
        &mut self,
        pack: Received,
        events: Vec<Message>,
        visibility: Duration,
    ) -> Vec<Received> {
        let now = Instant::now();
        self.by_receipt.retain(|_, open| open.forget_at > now);
        let received = |(index, event): (usize, Message)| Received {
            receipt: Receipt(format!("{PREFIX}{index}:{}", pack.receipt.0)),
            message_id: format!("{}.{index}", pack.message_id),
            body: event.body,
            attributes: event.attributes,
            receive_count: pack.receive_count,
            sent_at: pack.sent_at,
        };
        let number = events.len();
        let received = events.into_iter().enumerate().map(received).collect();
        let open = OpenPack {
            pack: Received { body: String::new(), ..pack },
            is_settled: vec![false; number],
            unsettled: number,
            again: Vec::new(),
            has_ended: false,
            forget_at: now + visibility + GRACE,
        };
        self.by_receipt.insert(open.pack.receipt.clone(), open);
        received
    }

    /// Records the settlements of events. Returns those of other messages, and the packs whose
    /// events are all settled now. Events of a pack that is no longer known are ignored, as stale
    /// receipts are.
    pub(super) fn settle(
        &mut self,
        settlements: Vec<(Received, Settlement)>,
    ) -> (Vec<(Received, Settlement)>, Vec<EndedPack>) {
        let (mut others, mut ended) = (Vec::new(), Vec::new());
        for (message, settlement) in settlements {
            let Some((index, receipt)) = whole(&message.receipt) else {
                others.push((message, settlement));
                continue;
            };
            let Some(open) = self.by_receipt.get_mut(&receipt) else { continue };
            if open.settle(index, message, settlement)
                && let Some(open) = self.by_receipt.remove(&receipt)
            {
                ended.push(open.end());
            }
        }
        (others, ended)
    }

    /// Returns the receipts to extend, those of packs once; remembers the packs for as long.
    pub(super) fn extend(&mut self, receipts: &[Receipt], visibility: Duration) -> Vec<Receipt> {
        let (mut seen, mut wholes) = (HashSet::new(), Vec::new());
        for receipt in receipts {
            let receipt = whole(receipt).map_or_else(|| receipt.clone(), |(_, receipt)| receipt);
            if seen.insert(receipt.clone()) {
                if let Some(open) = self.by_receipt.get_mut(&receipt) {
                    open.forget_at = Instant::now() + visibility + GRACE;
                }
                wholes.push(receipt);
            }
        }
        wholes
    }
}

impl OpenPack {
    /// Records the settlement of an event; returns whether all are settled. An event that is
    /// rejected is received again alone, and rejected then.
    fn settle(&mut self, index: usize, event: Received, settlement: Settlement) -> bool {
        let Some(is_settled) = self.is_settled.get_mut(index).filter(|is_settled| !**is_settled)
        else {
            return false;
        };
        *is_settled = true;
        self.unsettled -= 1;
        let delay = match settlement {
            Settlement::Done => None,
            Settlement::RetryAfter(delay) => Some(delay),
            Settlement::Reject(_) => Some(Duration::ZERO),
        };
        self.has_ended |= !matches!(settlement, Settlement::RetryAfter(_));
        let again = |delay| (Message { body: event.body, attributes: event.attributes }, delay);
        self.again.extend(delay.map(again));
        self.unsettled == 0
    }

    /// A pack of which nothing was done is received again as a whole.
    fn end(self) -> EndedPack {
        let Self { pack, again, has_ended, .. } = self;
        let soonest = again.iter().map(|(_, delay)| *delay).min();
        match soonest.filter(|_| !has_ended) {
            Some(delay) => {
                let settlement = Settlement::RetryAfter(delay);
                EndedPack { pack, settlement, again: Vec::new() }
            }
            None => EndedPack { pack, settlement: Settlement::Done, again },
        }
    }
}

/// Index of an event in its pack, and the receipt of the pack; `None` of another receipt.
fn whole(receipt: &Receipt) -> Option<(usize, Receipt)> {
    let (index, receipt) = receipt.0.strip_prefix(PREFIX)?.split_once(':')?;
    Some((index.parse().ok()?, Receipt(receipt.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::Utc;
    use contract::Reason;

    use super::*;
    use crate::Rejection;

    const MINUTE: Duration = Duration::from_secs(60);

    fn received(receipt: &str) -> Received {
        Received {
            receipt: Receipt(receipt.to_owned()),
            message_id: "m".to_owned(),
            body: "{}".to_owned(),
            attributes: BTreeMap::new(),
            receive_count: 2,
            sent_at: Utc::now(),
        }
    }

    fn event(number: usize) -> Message {
        Message { body: number.to_string(), attributes: BTreeMap::new() }
    }

    /// A pack of three events.
    fn opened() -> (OpenPacks, Vec<Received>) {
        let mut packs = OpenPacks::default();
        let events = packs.open(received("7.2"), (0..3).map(event).collect(), MINUTE);
        (packs, events)
    }

    fn rejected() -> Settlement {
        Settlement::Reject(Rejection::new(Reason::Invalid, "why"))
    }

    #[test]
    fn gives_each_event_an_identity() {
        let (_, events) = opened();
        let ids: HashSet<_> =
            events.iter().map(|event| (&event.message_id, &event.receipt)).collect();
        assert_eq!(ids.len(), 3);
        assert_eq!(whole(&events[2].receipt), Some((2, Receipt("7.2".to_owned()))));
        assert!(events.iter().all(|event| event.receive_count == 2));
    }

    #[test]
    fn settles_pack_when_all_events_are_done() {
        let (mut packs, events) = opened();
        let [first, second, third] = <[Received; 3]>::try_from(events).unwrap();
        for message in [third, first.clone(), first] {
            let (others, ended) = packs.settle(vec![(message, Settlement::Done)]);
            assert!(others.is_empty() && ended.is_empty());
        }
        let other = (received("8.1"), rejected());
        let (others, ended) = packs.settle(vec![(second, Settlement::Done), other.clone()]);
        assert_eq!(others, [other]);
        assert_eq!(
            (&ended[0].pack.receipt.0[..], &ended[0].settlement),
            ("7.2", &Settlement::Done)
        );
        assert!(ended[0].again.is_empty() && packs.by_receipt.is_empty());
    }

    #[test]
    fn sends_events_again_that_were_not_done() {
        let (mut packs, events) = opened();
        let settlements = [Settlement::RetryAfter(MINUTE), Settlement::Done, rejected()];
        let (_, ended) = packs.settle(events.into_iter().zip(settlements).collect());
        assert_eq!(ended[0].settlement, Settlement::Done);
        assert_eq!(ended[0].again, [(event(0), MINUTE), (event(2), Duration::ZERO)]);
    }

    #[test]
    fn retries_pack_of_which_nothing_was_done() {
        let (mut packs, events) = opened();
        let settlements = [2, 1, 3].map(|minutes| Settlement::RetryAfter(MINUTE * minutes));
        let (_, ended) = packs.settle(events.into_iter().zip(settlements).collect());
        assert_eq!(ended[0].settlement, Settlement::RetryAfter(MINUTE));
        assert!(ended[0].again.is_empty());
    }

    #[test]
    fn ignores_events_of_unknown_pack() {
        let (mut packs, events) = opened();
        packs.by_receipt.clear();
        let settlements = events.into_iter().map(|event| (event, Settlement::Done)).collect();
        let (others, ended) = packs.settle(settlements);
        assert!(others.is_empty() && ended.is_empty());
    }

    #[test]
    fn forgets_pack_after_its_visibility() {
        let mut packs = OpenPacks::default();
        packs.open(received("7.2"), vec![event(0)], MINUTE);
        packs.by_receipt.values_mut().for_each(|open| open.forget_at = Instant::now());
        packs.open(received("8.1"), vec![event(0)], MINUTE);
        assert_eq!(
            packs.by_receipt.keys().map(|receipt| &receipt.0[..]).collect::<Vec<_>>(),
            ["8.1"]
        );
    }

    #[test]
    fn extends_pack_once() {
        let (mut packs, events) = opened();
        let mut receipts: Vec<_> = events.into_iter().map(|event| event.receipt).collect();
        receipts.push(Receipt("8.1".to_owned()));
        let extended = packs.extend(&receipts, MINUTE);
        assert_eq!(extended, ["7.2", "8.1"].map(|receipt| Receipt(receipt.to_owned())));
    }

    #[test]
    fn receives_fewer_messages_while_they_are_packs() {
        let mut packs = OpenPacks::default();
        assert_eq!(packs.most_messages(500), 500);
        packs.record_load(0, 0);
        packs.record_load(5, 400);
        assert_eq!((packs.most_messages(500), packs.most_messages(3)), (6, 1));
        packs.record_load(3, 3);
        assert_eq!(packs.most_messages(500), 12);
        for _ in 0..6 {
            packs.record_load(3, 3);
        }
        assert_eq!((packs.most_messages(500), packs.most_messages(0)), (500, 0));
    }
}
