//! Errors of the providers.

use sandbox::{FcmMode, Mode};
use support::wait_until;
use system::{Bus, LIMIT, TestSuite};

crate::on_both_buses!(
    removes_device_when_token_is_unregistered,
    keeps_pushes_when_credentials_are_refused
);

async fn removes_device_when_token_is_unregistered(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("gone-1", "android").await;
    ada.register_device("token-2", "ios").await;
    ada.create_reminder_due_in(2, &["push"], "Tablets").await;

    ada.wait_for_deliveries("sent", 1).await;
    let failed = ada.wait_for_deliveries("failed", 1).await;
    assert_eq!(failed[0]["reason"], "UNREGISTERED");
    let devices = wait_until(LIMIT, async || {
        let devices = ada.devices().await;
        (devices.len() == 1).then_some(devices)
    });
    assert_eq!(devices.await[0]["type"], "ios");
    let invalidated = async || {
        let events = suite.event_api().get("/events?type=device:invalidated").await.expect(200);
        events.body.to_string().contains("device:invalidated")
    };
    wait_until(LIMIT, invalidated).await;
}

async fn keeps_pushes_when_credentials_are_refused(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    suite.sandbox.set_mode(Mode {
        fcm: FcmMode { status: Some(403), ..FcmMode::default() },
        ..Mode::default()
    });
    for number in 0..5 {
        ada.create_reminder_due_in(1, &["push", "email"], &format!("no. {number}")).await;
    }
    // FCM does not delay e-mails.
    ada.wait_for_deliveries("sent", 5).await;
    ada.wait_for_deliveries("pending", 5).await;
    assert_eq!(ada.devices().await.len(), 1);

    suite.sandbox.set_mode(Mode::default());
    ada.wait_for_deliveries("sent", 10).await;
    assert_eq!(ada.devices().await.len(), 1);
}
