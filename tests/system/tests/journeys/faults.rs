//! What providers refuse, and what becomes of it.

use sandbox::{FcmMode, Mode};
use serde_json::json;
use support::eventually;
use system::{Bus, House, LIMIT};

crate::on_both_buses!(
    a_dead_token_goes_and_the_other_device_is_reached,
    refused_credentials_stop_the_lane_and_lose_nothing
);

async fn a_dead_token_goes_and_the_other_device_is_reached(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("gone-1", "android").await;
    ada.registers("token-2", "ios").await;
    ada.is_reminded_in(2, &["push"], "Tablets").await;

    ada.sees("sent", 1).await;
    let failed = ada.sees("failed", 1).await;
    assert_eq!(failed[0]["reason"], "UNREGISTERED");
    let devices = eventually(LIMIT, async || {
        let devices = ada.notifications.get("/device").await.expect(200).body["devices"].clone();
        (devices.as_array().map(Vec::len) == Some(1)).then_some(devices)
    });
    assert_eq!(devices.await[0]["type"], "ios");
    let invalidated = async || {
        let events = house.events().get("/events?type=device:invalidated").await.expect(200);
        events.body.to_string().contains("device:invalidated")
    };
    eventually(LIMIT, invalidated).await;
}

async fn refused_credentials_stop_the_lane_and_lose_nothing(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    house.sandbox.set_mode(Mode {
        fcm: FcmMode { status: Some(403), ..FcmMode::default() },
        ..Mode::default()
    });
    for number in 0..5 {
        ada.is_reminded_in(1, &["push", "email"], &format!("no. {number}")).await;
    }
    // E-mail is not held up by FCM.
    ada.sees("sent", 5).await;
    ada.sees("pending", 5).await;
    assert_eq!(
        ada.notifications.get("/device").await.expect(200).body["devices"].as_array().map(Vec::len),
        Some(1)
    );

    house.sandbox.set_mode(Mode::default());
    ada.sees("sent", 10).await;
    let devices = ada.notifications.get("/device").await.expect(200);
    assert_eq!(
        devices.body["devices"].as_array().map(Vec::len),
        Some(1),
        "{}",
        json!(devices.body)
    );
}
