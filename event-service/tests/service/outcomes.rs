//! Outcomes of occurrences.

use contract::DeliveryState::{Deferred, Failed, Sent, Suppressed};
use service::consumer::Handler;

use crate::fixture::{
    TestService, correction, created, deleted, hours, now, outcome, test_service,
};

async fn stands(service: &TestService) -> (String, Option<String>) {
    let sql = "select state::text, reason from occurrences";
    sqlx::query_as(sql).fetch_one(&service.pool).await.expect("one occurrence")
}

fn as_of(state: &str, reason: Option<&str>) -> (String, Option<String>) {
    (state.to_owned(), reason.map(ToOwned::to_owned))
}

#[tokio::test]
async fn ends_as_sent_when_one_delivery_is_sent() {
    let service = test_service().await;
    let date = now() + hours(1);
    service.apply(&[created("a", 1, date, &[0])]).await;
    service.apply(&[outcome("a", date, Sent, None, 3)]).await;
    assert_eq!(stands(&service).await.0, "released");
    service
        .apply(&[
            outcome("a", date, Failed, Some("unregistered"), 3),
            outcome("a", date, Deferred, Some("quiet-hours"), 3),
        ])
        .await;
    assert_eq!(stands(&service).await.0, "released");
    service.apply(&[outcome("a", date, Suppressed, Some("opt-out"), 3)]).await;
    assert_eq!(stands(&service).await, as_of("sent", Some("opt-out")));
}

#[tokio::test]
async fn ends_as_failed_or_suppressed_when_none_is_sent() {
    for (outcomes, expected) in
        [([Failed, Suppressed], "failed"), ([Suppressed, Suppressed], "suppressed")]
    {
        let service = test_service().await;
        let date = now() + hours(1);
        service.apply(&[created("a", 1, date, &[0])]).await;
        let published = outcomes.map(|state| outcome("a", date, state, Some("why"), 2));
        service.apply(&published).await;
        assert_eq!(stands(&service).await, as_of(expected, Some("why")));
    }
}

#[tokio::test]
async fn counts_repeated_outcome_once() {
    let service = test_service().await;
    let date = now() + hours(1);
    let published = outcome("a", date, Sent, None, 2);
    service.apply(&[created("a", 1, date, &[0]), published.clone(), published.clone()]).await;
    service.apply(&[published]).await;
    assert_eq!(stands(&service).await.0, "released");
}

#[tokio::test]
async fn keeps_outcome_of_unknown_occurrence() {
    let service = test_service().await;
    let date = now() + hours(1);
    service.apply(&[outcome("a", date, Sent, None, 1)]).await;
    service.apply(&[created("a", 1, date, &[0])]).await;
    assert_eq!(stands(&service).await.0, "sent");
}

#[tokio::test]
async fn reports_sent_when_outcome_follows_cancellation() {
    let service = test_service().await;
    let date = now() + hours(1);
    service.apply(&[created("a", 1, date, &[0])]).await;
    service.apply(&[deleted("a", 2)]).await;
    service.apply(&[outcome("a", date, Sent, None, 1)]).await;
    assert_eq!(stands(&service).await.0, "sent");
}

#[tokio::test]
async fn refuses_outcome_that_contradicts_its_type() {
    let service = test_service().await;
    let mut published = outcome("a", now(), Sent, None, 1);
    published.attributes.insert("eventType".to_owned(), "notification:failed".to_owned());
    let settlements = service.handler.handle(&[published]).await;
    assert!(matches!(&settlements[..], [bus::Settlement::Reject(_)]), "{settlements:?}");
}

#[tokio::test]
async fn replaces_corrected_outcome_in_any_order() {
    for order in [[0, 1], [1, 0]] {
        for at_once in [true, false] {
            let service = test_service().await;
            let date = now() + hours(1);
            let sent = outcome("a", date, Sent, None, 1);
            let published = [sent.clone(), correction(&sent)];
            let published = order.map(|place| published[place].clone());
            service.apply(&[created("a", 1, date, &[0])]).await;
            if at_once {
                service.apply(&published).await;
            } else {
                service.apply(&published[..1]).await;
                service.apply(&[published[0].clone(), published[1].clone()]).await;
            }
            assert_eq!(
                stands(&service).await,
                as_of("failed", Some("BOUNCED")),
                "{order:?} {at_once}"
            );
            assert_eq!(counts(&service).await, (0, 1));
        }
    }
}

#[tokio::test]
async fn stays_sent_when_other_delivery_is_corrected() {
    let service = test_service().await;
    let date = now() + hours(1);
    let [mail, push] = [(); 2].map(|()| outcome("a", date, Sent, None, 2));
    service.apply(&[created("a", 1, date, &[0])]).await;
    service.apply(&[correction(&mail)]).await;
    assert_eq!(stands(&service).await.0, "released", "what is corrected was not told yet");
    service.apply(&[mail]).await;
    assert_eq!(stands(&service).await.0, "released", "one of two");
    service.apply(&[push]).await;
    assert_eq!((stands(&service).await.0.as_str(), counts(&service).await), ("sent", (1, 1)));
}

#[tokio::test]
async fn refuses_correction_of_state_that_is_not_final() {
    let service = test_service().await;
    let sent = outcome("a", now(), Sent, None, 1);
    for corrects in ["failed", "pending", "deferred"] {
        let mut published = correction(&sent);
        published.body =
            published.body.replace(r#""corrects":"sent""#, &format!(r#""corrects":"{corrects}""#));
        let settlements = service.handler.handle(&[published]).await;
        assert!(
            matches!(&settlements[..], [bus::Settlement::Reject(_)]),
            "{corrects}: {settlements:?}"
        );
    }
}

/// State, and numbers of sent and failed deliveries.
async fn counts(service: &TestService) -> (i32, i32) {
    sqlx::query_as("select sent, failed from occurrences")
        .fetch_one(&service.pool)
        .await
        .expect("one occurrence")
}
