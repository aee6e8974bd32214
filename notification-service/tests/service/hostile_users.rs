//! Twenty users whose addresses are refused, throttled or time out, next to users whose addresses
//! work.

use contract::Channel;
use support::wait_until;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

/// Tokens of hostile users, which determine FCM's responses.
const TOKENS: [&str; 10] = [
    "quota",
    "quota-after-3000",
    "sender-mismatch",
    "third-party",
    "unauthenticated",
    "permission-denied",
    "unavailable-after-3000",
    "html-502",
    "slow-10000",
    "timeout-after-accept",
];
/// Addresses of hostile users, which determine SES's responses.
const ADDRESSES: [&str; 8] = [
    "throttle",
    "daily-quota",
    "paused",
    "config-paused",
    "unverified",
    "reject",
    "unavailable",
    "slow-10000",
];
const HOSTILE: usize = 20;
const OTHERS: usize = 40;

/// Creates `each` due occurrences for each hostile user.
fn of_hostile(channel: Channel, each: usize) -> Vec<DueOccurrence> {
    let due = |number: usize| {
        let user = number % HOSTILE;
        let address = format!("{}+{user}@example.com", ADDRESSES[user % ADDRESSES.len()]);
        DueOccurrence {
            email: Some(address),
            ..DueOccurrence::now(&format!("hostile-{user}"), &[channel])
        }
    };
    (0..HOSTILE * each).map(due).collect()
}

async fn publish(service: &TestService, dues: &[DueOccurrence]) {
    for part in dues.chunks(20) {
        service.publish(&part.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
    }
}

#[tokio::test]
async fn sends_others_pushes_beside_hostile_users() {
    let service = TestService::start_with(&[("PUSH_MAX_IN_FLIGHT", "40")]).await;
    for user in 0..HOSTILE {
        for device in 0..3 {
            let token = TOKENS[(user + device) % TOKENS.len()];
            service
                .register_device_of_type(
                    &format!("hostile-{user}"),
                    &format!("{token}-{user}-{device}"),
                    "web",
                )
                .await;
        }
    }
    for user in 0..OTHERS {
        service
            .register_device_of_type(&format!("user-{user}"), &format!("token-{user}"), "web")
            .await;
    }
    for round in 0..4 {
        publish(&service, &of_hostile(Channel::Push, 5)).await;
        let dues: Vec<DueOccurrence> = (0..OTHERS)
            .filter(|user| user % 4 == round)
            .map(|user| DueOccurrence::now(&format!("user-{user}"), &[Channel::Push]))
            .collect();
        publish(&service, &dues).await;
        for due in &dues {
            service.wait_for_state(due, Channel::Push, "sent").await;
        }
    }

    // Failures of single users delayed others only briefly: the breaker counts each hostile user
    // once.
    let stops = service.metric("reminders_circuit_breaker_opened_total", "push").await
        + service.metric("reminders_push_platform_circuit_breaker_opened_total", "web").await;
    assert!(stops <= 2.0 * HOSTILE as f64, "{stops} stops");
    wait_until(LIMIT, async || {
        service.metric("reminders_circuit_breaker_state", "push").await == 0.0
    })
    .await;
}

#[tokio::test]
async fn sends_others_mail_beside_hostile_users() {
    let service = TestService::start_with(&[("EMAIL_MAX_IN_FLIGHT", "20")]).await;
    for round in 0..4 {
        publish(&service, &of_hostile(Channel::Email, 5)).await;
        let dues: Vec<DueOccurrence> = (0..10)
            .map(|user| DueOccurrence::now(&format!("user-{round}-{user}"), &[Channel::Email]))
            .collect();
        publish(&service, &dues).await;
        for due in &dues {
            service.wait_for_state(due, Channel::Email, "sent").await;
        }
    }

    let stops = service.metric("reminders_circuit_breaker_opened_total", "email").await;
    assert!(stops <= HOSTILE as f64, "{stops} stops");
}
