use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    bus::Message,
    contract::new_id,
    outbox::{FRESH, OutboxMessage},
};

fn message(user: &str, bytes: usize) -> HandedOver {
    let attributes = BTreeMap::from([("userId".to_owned(), user.to_owned())]);
    let message = Message { body: "x".repeat(bytes), attributes };
    HandedOver::alone(OutboxMessage { event_id: new_id(), message })
}

/// Lines with so many messages of each user, and shares of ten messages a second and twenty at
/// once.
fn lines(users: &[(&str, usize)]) -> (Lines, Shares) {
    let mut lines = Lines::default();
    for (user, messages) in users {
        (0..*messages).for_each(|_| lines.push(message(user, 1)));
    }
    (lines, Shares::new(10, Instant::now()))
}

fn count(taken: &Taken, user: &str) -> usize {
    taken.users.iter().filter(|taken| &***taken == user).count()
}

#[tokio::test]
async fn takes_turns_of_one_message_a_user() {
    let (mut lines, mut shares) = lines(&[("mallory", 15), ("ada", 1), ("grace", 2)]);
    let taken = lines.take(&mut shares, 5, Instant::now());
    let users: Vec<&str> = taken.users.iter().map(|user| &**user).collect();
    assert_eq!(users, ["mallory", "ada", "grace", "mallory", "grace"]);
}

#[tokio::test]
async fn takes_other_users_beside_one_beyond_share() {
    let now = Instant::now();
    let (mut lines, mut shares) = lines(&[("mallory", 50), ("ada", 3)]);
    let taken = lines.take(&mut shares, 500, now);
    assert_eq!((count(&taken, "mallory"), count(&taken, "ada"), taken.backlogged), (20, 3, 1));

    lines.push(message("ada", 1));
    lines.push(message("mallory", 1));
    let taken = lines.take(&mut shares, 500, now);
    assert_eq!((count(&taken, "mallory"), count(&taken, "ada")), (0, 1));
    assert_eq!(lines.take_of_backlog(&mut shares, 500, now).messages.len(), 0);
    let later = now + Duration::from_secs(1);
    assert_eq!(count(&lines.take_of_backlog(&mut shares, 500, later), "mallory"), 10);
    assert!(lines.has_backlog());
}

#[tokio::test]
async fn ends_backlog_when_line_is_empty() {
    let now = Instant::now();
    let (mut lines, mut shares) = lines(&[("mallory", 25)]);
    lines.take(&mut shares, 500, now);
    assert!(lines.has_backlog());
    let later = now + Duration::from_secs(1);
    assert_eq!(lines.take_of_backlog(&mut shares, 500, later).messages.len(), 5);
    assert!(!lines.has_backlog());
    lines.push(message("mallory", 1));
    assert_eq!(lines.take(&mut shares, 500, later).messages.len(), 1);
}

#[tokio::test]
async fn bounds_messages_of_user_under_way() {
    let (mut lines, _) = lines(&[("mallory", 150), ("ada", 1)]);
    let mut shares = Shares::new(1_000, Instant::now());
    let taken = lines.take(&mut shares, 500, Instant::now());
    assert_eq!((count(&taken, "mallory"), count(&taken, "ada")), (USER_UNDER_WAY, 1));
    assert!(lines.take(&mut shares, 500, Instant::now()).messages.is_empty());
    let of_mallory: Vec<_> =
        taken.users.iter().filter(|user| &***user == "mallory").cloned().collect();
    lines.note_published(&of_mallory[..30]);
    assert_eq!(lines.take(&mut shares, 500, Instant::now()).messages.len(), 30);
    lines.note_published(&[Arc::from("ada")]);
    assert!(!lines.under_way.contains_key("ada"));
}

#[tokio::test]
async fn bounds_messages_of_user_in_memory() {
    let (mut lines, _) = lines(&[("mallory", USER_MESSAGES)]);
    assert!(!lines.has_room("mallory", 1));
    assert!(lines.has_room("ada", 1));
    lines.push(message("ada", USER_BYTES));
    assert!(!lines.has_room("ada", 1));
    for user in 0..(MESSAGES - USER_MESSAGES - 1) {
        lines.push(message(&user.to_string(), 1));
    }
    assert!(!lines.has_room("grace", 1));
}

#[tokio::test]
async fn leaves_stale_messages_of_backlog_to_sweep() {
    let now = Instant::now();
    let (mut lines, mut shares) = lines(&[("mallory", 25)]);
    lines.take(&mut shares, 500, now);
    if let Some(line) = lines.lines.get_mut("mallory") {
        line.messages
            .iter_mut()
            .take(3)
            .for_each(|message| message.since -= FRESH + Duration::from_secs(1));
    }
    assert_eq!(lines.take_of_backlog(&mut shares, 500, now).stale, 3);
}

#[tokio::test]
async fn takes_everything_when_process_ends() {
    let (mut lines, mut shares) = lines(&[("mallory", 300), ("ada", 2)]);
    lines.take(&mut shares, 10, Instant::now());
    lines.take(&mut shares, 500, Instant::now());
    let mut left = 0;
    loop {
        let taken = lines.take_of_all(100);
        left += taken.messages.len();
        if taken.messages.is_empty() {
            break;
        }
    }
    assert_eq!(left, 302 - 22);
    assert!(lines.lines.is_empty() && lines.messages == 0);
}
