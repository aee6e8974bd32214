use std::{collections::BTreeMap, time::Duration};

use bus::Message;
use contract::new_id;

use super::*;
use crate::outbox::{MAX_TIME_IN_MEMORY, OutboxMessage};

fn message(user: &str, bytes: usize) -> QueuedMessage {
    let attributes = BTreeMap::from([("userId".to_owned(), user.to_owned())]);
    let message = Message { body: "x".repeat(bytes), attributes };
    QueuedMessage::alone(OutboxMessage { event_id: new_id(), message })
}

/// A queue with so many messages of each user, and shares of ten messages a second and twenty at
/// once.
fn queue(users: &[(&str, usize)]) -> (FairQueue, Shares) {
    let mut queue = FairQueue::default();
    for (user, messages) in users {
        (0..*messages).for_each(|_| queue.push(message(user, 1)));
    }
    (queue, Shares::new(10, Instant::now()))
}

fn count(taken: &Taken, user: &str) -> usize {
    taken.users.iter().filter(|taken| &***taken == user).count()
}

#[tokio::test]
async fn takes_one_message_of_each_user_in_turn() {
    let (mut queue, mut shares) = queue(&[("mallory", 15), ("ada", 1), ("grace", 2)]);
    let taken = queue.take(&mut shares, 5, Instant::now());
    let users: Vec<&str> = taken.users.iter().map(|user| &**user).collect();
    assert_eq!(users, ["mallory", "ada", "grace", "mallory", "grace"]);
}

#[tokio::test]
async fn takes_messages_of_others_beside_one_beyond_share() {
    let now = Instant::now();
    let (mut queue, mut shares) = queue(&[("mallory", 50), ("ada", 3)]);
    let taken = queue.take(&mut shares, 500, now);
    assert_eq!((count(&taken, "mallory"), count(&taken, "ada"), taken.backlogged), (20, 3, 1));

    queue.push(message("ada", 1));
    queue.push(message("mallory", 1));
    let taken = queue.take(&mut shares, 500, now);
    assert_eq!((count(&taken, "mallory"), count(&taken, "ada")), (0, 1));
    assert_eq!(queue.take_of_backlog(&mut shares, 500, now).messages.len(), 0);
    let later = now + Duration::from_secs(1);
    assert_eq!(count(&queue.take_of_backlog(&mut shares, 500, later), "mallory"), 10);
    assert!(queue.has_backlog());
}

#[tokio::test]
async fn ends_backlog_when_queue_of_user_is_empty() {
    let now = Instant::now();
    let (mut queue, mut shares) = queue(&[("mallory", 25)]);
    queue.take(&mut shares, 500, now);
    assert!(queue.has_backlog());
    let later = now + Duration::from_secs(1);
    assert_eq!(queue.take_of_backlog(&mut shares, 500, later).messages.len(), 5);
    assert!(!queue.has_backlog());
    queue.push(message("mallory", 1));
    assert_eq!(queue.take(&mut shares, 500, later).messages.len(), 1);
}

#[tokio::test]
async fn bounds_messages_of_user_in_flight() {
    let (mut queue, _) = queue(&[("mallory", 150), ("ada", 1)]);
    let mut shares = Shares::new(1_000, Instant::now());
    let taken = queue.take(&mut shares, 500, Instant::now());
    assert_eq!((count(&taken, "mallory"), count(&taken, "ada")), (USER_IN_FLIGHT, 1));
    assert!(queue.take(&mut shares, 500, Instant::now()).messages.is_empty());
    let of_mallory: Vec<_> =
        taken.users.iter().filter(|user| &***user == "mallory").cloned().collect();
    queue.end_flight(&of_mallory[..30]);
    assert_eq!(queue.take(&mut shares, 500, Instant::now()).messages.len(), 30);
    queue.end_flight(&[Arc::from("ada")]);
    assert!(!queue.in_flight_by_user.contains_key("ada"));
}

#[tokio::test]
async fn bounds_messages_of_user_in_memory() {
    let (mut queue, _) = queue(&[("mallory", MAX_USER_MESSAGES)]);
    assert!(!queue.has_capacity("mallory", 1));
    assert!(queue.has_capacity("ada", 1));
    queue.push(message("ada", MAX_USER_BYTES));
    assert!(!queue.has_capacity("ada", 1));
    for user in 0..(MAX_MESSAGES - MAX_USER_MESSAGES - 1) {
        queue.push(message(&user.to_string(), 1));
    }
    assert!(!queue.has_capacity("grace", 1));
}

#[tokio::test]
async fn leaves_stale_messages_to_recovery() {
    let now = Instant::now();
    let (mut queue, mut shares) = queue(&[("mallory", 25)]);
    queue.take(&mut shares, 500, now);
    if let Some(of_user) = queue.by_user.get_mut("mallory") {
        of_user
            .messages
            .iter_mut()
            .take(3)
            .for_each(|message| message.since -= MAX_TIME_IN_MEMORY + Duration::from_secs(1));
    }
    assert_eq!(queue.take_of_backlog(&mut shares, 500, now).stale, 3);
}

#[tokio::test]
async fn takes_everything_when_process_ends() {
    let (mut queue, mut shares) = queue(&[("mallory", 300), ("ada", 2)]);
    queue.take(&mut shares, 10, Instant::now());
    queue.take(&mut shares, 500, Instant::now());
    let mut left = 0;
    loop {
        let taken = queue.take_of_all(100);
        left += taken.messages.len();
        if taken.messages.is_empty() {
            break;
        }
    }
    assert_eq!(left, 302 - 22);
    assert!(queue.by_user.is_empty() && queue.messages == 0);
}
