//! Packs: several events of one type in one message, in front of either adapter.
//!
//! A publish packs the events that it is given and waits for no others, so a single event is
//! published as it is. A receive opens packs, and returns their events as messages of their own.
//! The pack is settled when all of its events are. Events of it that were not done are sent to the
//! queue again as single messages, so that an event that cannot be handled is retried and rejected
//! alone. A pack that is received for the third time is replaced by its single events, as one of
//! them may have ended the process. Events tolerate repeats, so a crash in between does no harm.

mod open_packs;
mod plan;
mod setting;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use contract::pack;
use open_packs::{EndedPack, OpenPacks};
use plan::Plan;

pub use plan::{MAX_PACK_BYTES, MAX_PACK_EVENTS};
pub use setting::Packing;

use super::{
    Bus, Depth, Error, MAX_DELAY, Message, PublishError, Receipt, Received, Settlement, SharedBus,
    Topology,
};

/// Number of receipts at which a pack is replaced by its events. (Every queue of the suite allows
/// at least five.)
const SPLIT_RECEIPTS: u32 = 3;

/// An adapter with packs.
pub(super) struct PackedBus {
    adapter: SharedBus,
    packing: Packing,
    /// Packs of each queue that were received and are not settled.
    queues: Mutex<HashMap<String, OpenPacks>>,
}

type Results = Vec<Result<(), PublishError>>;

impl PackedBus {
    pub(super) fn new(adapter: SharedBus, packing: Packing) -> Self {
        Self { adapter, packing, queues: Mutex::default() }
    }

    fn open_packs<T>(&self, queue: &str, with: impl FnOnce(&mut OpenPacks) -> T) -> T {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(packs) = queues.get_mut(queue) {
            return with(packs);
        }
        with(queues.entry(queue.to_owned()).or_default())
    }

    /// Sends events to a queue as single messages.
    async fn send_singles(
        &self,
        queue: &str,
        events: &[Message],
        delay: Duration,
    ) -> Result<(), Error> {
        let results = self.adapter.send(queue, events, delay.min(MAX_DELAY)).await?;
        match results.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some(error) => Err(Error::Unavailable {
                action: "send the events of a pack",
                source: error.into(),
            }),
        }
    }

    /// Replaces a received pack by its events. Returns the pack if that fails.
    async fn split(
        &self,
        queue: &str,
        pack: Received,
        events: &[Message],
    ) -> Result<(), (Received, Error)> {
        tracing::warn!(
            message.id = pack.message_id,
            events = events.len(),
            receipts = pack.receive_count,
            queue,
            "pack was received repeatedly, its events will be handled one by one"
        );
        match self.send_singles(queue, events, Duration::ZERO).await {
            // If this fails, the events are delivered twice.
            Ok(()) => {
                let settled = self.adapter.settle(queue, vec![(pack.clone(), Settlement::Done)]);
                settled.await.map_err(|error| (pack, error))
            }
            Err(error) => Err((pack, error)),
        }
    }

    /// Sends the events of an ended pack that were not done to the queue again; returns the
    /// settlement of the pack.
    async fn end(&self, queue: &str, pack: EndedPack) -> Result<(Received, Settlement), Error> {
        let EndedPack { pack, settlement, again } = pack;
        let mut by_delay = BTreeMap::<Duration, Vec<Message>>::new();
        for (event, delay) in again {
            by_delay.entry(delay).or_default().push(event);
        }
        for (delay, events) in by_delay {
            self.send_singles(queue, &events, delay).await?;
        }
        Ok((pack, settlement))
    }
}

#[async_trait]
impl Bus for PackedBus {
    async fn publish(&self, topic: &str, messages: &[Message]) -> Result<Results, Error> {
        let plan = Plan::of(if self.packing.packs(topic) { messages } else { &[] });
        if !plan.has_packs() {
            return self.adapter.publish(topic, messages).await;
        }
        let published = self.adapter.publish(topic, &plan.messages(messages)).await?;
        let (mut results, refused) = plan.results(messages.len(), published);
        if !refused.is_empty() {
            // One of the events may be the cause.
            let singles: Vec<Message> =
                refused.iter().map(|index| messages[*index].clone()).collect();
            let published = match self.adapter.publish(topic, &singles).await {
                Ok(published) => published,
                Err(error) => vec![Err(PublishError::Retry(error.to_string())); singles.len()],
            };
            for (index, result) in refused.into_iter().zip(published) {
                results[index] = result;
            }
        }
        Ok(results)
    }

    async fn send(
        &self,
        queue: &str,
        messages: &[Message],
        delay: Duration,
    ) -> Result<Results, Error> {
        self.adapter.send(queue, messages, delay).await
    }

    async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, Error> {
        let most = self.open_packs(queue, |packs| packs.most_messages(max));
        let received = self.adapter.receive(queue, most, visibility, wait).await?;
        let number = received.len();
        let mut messages = Vec::with_capacity(number);
        for message in received {
            let Some(events) = pack::open((&message).into()) else {
                messages.push(message);
                continue;
            };
            let mut pack = message;
            if pack.receive_count >= SPLIT_RECEIPTS {
                match self.split(queue, pack, &events).await {
                    Ok(()) => continue,
                    Err((unsplit, error)) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            queue,
                            "pack was not split, its events are handled together"
                        );
                        pack = unsplit;
                    }
                }
            }
            messages.extend(self.open_packs(queue, |packs| packs.open(pack, events, visibility)));
        }
        self.open_packs(queue, |packs| packs.record_load(number, messages.len()));
        Ok(messages)
    }

    async fn settle(
        &self,
        queue: &str,
        settlements: Vec<(Received, Settlement)>,
    ) -> Result<(), Error> {
        let (mut settled, ended) = self.open_packs(queue, |packs| packs.settle(settlements));
        let mut result = Ok(());
        for pack in ended {
            match self.end(queue, pack).await {
                Ok(pack) => settled.push(pack),
                // The pack is delivered again.
                Err(error) => result = Err(error),
            }
        }
        if !settled.is_empty() {
            self.adapter.settle(queue, settled).await?;
        }
        result
    }

    async fn extend(
        &self,
        queue: &str,
        receipts: &[Receipt],
        visibility: Duration,
    ) -> Result<(), Error> {
        let receipts = self.open_packs(queue, |packs| packs.extend(receipts, visibility));
        self.adapter.extend(queue, &receipts, visibility).await
    }

    async fn depth(&self, queue: &str) -> Result<Depth, Error> {
        self.adapter.depth(queue).await
    }

    async fn dead_letter_depth(&self, queue: &str) -> Result<Depth, Error> {
        self.adapter.dead_letter_depth(queue).await
    }

    async fn dead_letters(&self, queue: &str, max: usize) -> Result<Vec<Received>, Error> {
        self.adapter.dead_letters(queue, max).await
    }

    async fn redrive(&self, queue: &str, max: usize) -> Result<u64, Error> {
        self.adapter.redrive(queue, max).await
    }

    async fn purge_dead_letters(&self, queue: &str, kept: Duration) -> Result<u64, Error> {
        self.adapter.purge_dead_letters(queue, kept).await
    }

    async fn erase_dead_letters(&self, queue: &str, user_id: &str) -> Result<u64, Error> {
        self.adapter.erase_dead_letters(queue, user_id).await
    }

    async fn ensure(&self, topology: &Topology) -> Result<(), Error> {
        self.adapter.ensure(topology).await
    }
}
