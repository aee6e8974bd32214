//! How occurrences end.

use shared::{
    consumer::Handler,
    contract::DeliveryState::{Deferred, Failed, Sent, Suppressed},
};

use crate::fixture::{World, correction, created, deleted, hours, now, outcome, world};

async fn stands(world: &World) -> (String, Option<String>) {
    let sql = "select state::text, reason from occurrences";
    sqlx::query_as(sql).fetch_one(&world.pool).await.expect("one occurrence")
}

fn as_of(state: &str, reason: Option<&str>) -> (String, Option<String>) {
    (state.to_owned(), reason.map(ToOwned::to_owned))
}

#[tokio::test]
async fn it_ends_when_all_its_deliveries_have_and_one_sent_is_enough() {
    let world = world().await;
    let date = now() + hours(1);
    world.apply(&[created("a", 1, date, &[0])]).await;
    world.apply(&[outcome("a", date, Sent, None, 3)]).await;
    assert_eq!(stands(&world).await.0, "released");
    world
        .apply(&[
            outcome("a", date, Failed, Some("unregistered"), 3),
            outcome("a", date, Deferred, Some("quiet-hours"), 3),
        ])
        .await;
    assert_eq!(stands(&world).await.0, "released");
    world.apply(&[outcome("a", date, Suppressed, Some("opt-out"), 3)]).await;
    assert_eq!(stands(&world).await, as_of("sent", Some("opt-out")));
}

#[tokio::test]
async fn without_one_sent_it_failed_and_without_one_tried_it_is_suppressed() {
    for (outcomes, expected) in
        [([Failed, Suppressed], "failed"), ([Suppressed, Suppressed], "suppressed")]
    {
        let world = world().await;
        let date = now() + hours(1);
        world.apply(&[created("a", 1, date, &[0])]).await;
        let told = outcomes.map(|state| outcome("a", date, state, Some("why"), 2));
        world.apply(&told).await;
        assert_eq!(stands(&world).await, as_of(expected, Some("why")));
    }
}

#[tokio::test]
async fn an_outcome_counts_once_however_often_it_comes() {
    let world = world().await;
    let date = now() + hours(1);
    let told = outcome("a", date, Sent, None, 2);
    world.apply(&[created("a", 1, date, &[0]), told.clone(), told.clone()]).await;
    world.apply(&[told]).await;
    assert_eq!(stands(&world).await.0, "released");
}

#[tokio::test]
async fn an_outcome_before_its_occurrence_is_kept_for_it() {
    let world = world().await;
    let date = now() + hours(1);
    world.apply(&[outcome("a", date, Sent, None, 1)]).await;
    world.apply(&[created("a", 1, date, &[0])]).await;
    assert_eq!(stands(&world).await.0, "sent");
}

#[tokio::test]
async fn what_was_sent_all_the_same_is_not_called_cancelled() {
    let world = world().await;
    let date = now() + hours(1);
    world.apply(&[created("a", 1, date, &[0])]).await;
    world.apply(&[deleted("a", 2)]).await;
    world.apply(&[outcome("a", date, Sent, None, 1)]).await;
    assert_eq!(stands(&world).await.0, "sent");
}

#[tokio::test]
async fn an_outcome_that_contradicts_its_type_is_refused() {
    let world = world().await;
    let mut told = outcome("a", now(), Sent, None, 1);
    told.attributes.insert("eventType".to_owned(), "notification:failed".to_owned());
    let settlements = world.handler.handle(&[told]).await;
    assert!(matches!(&settlements[..], [shared::bus::Settlement::Reject(_)]), "{settlements:?}");
}

#[tokio::test]
async fn a_corrected_outcome_takes_the_place_of_the_one_before_whichever_comes_first() {
    for order in [[0, 1], [1, 0]] {
        for at_once in [true, false] {
            let world = world().await;
            let date = now() + hours(1);
            let sent = outcome("a", date, Sent, None, 1);
            let told = [sent.clone(), correction(&sent)];
            let told = order.map(|place| told[place].clone());
            world.apply(&[created("a", 1, date, &[0])]).await;
            if at_once {
                world.apply(&told).await;
            } else {
                world.apply(&told[..1]).await;
                world.apply(&[told[0].clone(), told[1].clone()]).await;
            }
            assert_eq!(
                stands(&world).await,
                as_of("failed", Some("BOUNCED")),
                "{order:?} {at_once}"
            );
            assert_eq!(counts(&world).await, (0, 1));
        }
    }
}

#[tokio::test]
async fn one_that_was_sent_is_enough_whatever_became_of_another() {
    let world = world().await;
    let date = now() + hours(1);
    let [mail, push] = [(); 2].map(|()| outcome("a", date, Sent, None, 2));
    world.apply(&[created("a", 1, date, &[0])]).await;
    world.apply(&[correction(&mail)]).await;
    assert_eq!(stands(&world).await.0, "released", "what is corrected was not told yet");
    world.apply(&[mail]).await;
    assert_eq!(stands(&world).await.0, "released", "one of two");
    world.apply(&[push]).await;
    assert_eq!((stands(&world).await.0.as_str(), counts(&world).await), ("sent", (1, 1)));
}

#[tokio::test]
async fn a_correction_of_what_is_no_end_is_refused() {
    let world = world().await;
    let sent = outcome("a", now(), Sent, None, 1);
    for corrects in ["failed", "pending", "deferred"] {
        let mut told = correction(&sent);
        told.body =
            told.body.replace(r#""corrects":"sent""#, &format!(r#""corrects":"{corrects}""#));
        let settlements = world.handler.handle(&[told]).await;
        assert!(
            matches!(&settlements[..], [shared::bus::Settlement::Reject(_)]),
            "{corrects}: {settlements:?}"
        );
    }
}

/// How often it was sent and failed.
async fn counts(world: &World) -> (i32, i32) {
    sqlx::query_as("select sent, failed from occurrences")
        .fetch_one(&world.pool)
        .await
        .expect("one occurrence")
}
