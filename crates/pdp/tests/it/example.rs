//! The shipped example, as the demo asks it.

use magistrate_model::Cause::{Forbidden, NoPermit, Permitted, ScopeCeiling};
use magistrate_model::Span;
use magistrate_testkit::World;
use serde_json::json;

use crate::small_world::check;

#[test]
fn demo_questions_get_their_answers() {
    let world = World::example();
    let allowed = world.ask("Company::User::ana", "readMessage", "Company::Message::m-1001").verdict();
    assert_eq!(
        allowed.determining.iter().map(magistrate_model::PolicyId::as_str).collect::<Vec<_>>(),
        ["messages.owner.read"]
    );
    let denied = world.ask("Company::Service::payments", "readMessage", "Company::Message::m-1001").verdict();
    assert_eq!(denied.cause, Forbidden);
    assert_eq!(
        denied.determining.iter().map(magistrate_model::PolicyId::as_str).collect::<Vec<_>>(),
        ["guardrails.payments.no-messages"]
    );
}

#[test]
fn on_call_role_lasts_two_hours() {
    let world = World::example();
    let ask = |span: Span| {
        let world = World::example().at(world.now().plus(span));
        world
            .ask("Company::User::omar", "restartWorkload", "Company::Environment::production")
            .context(&json!({ "mfa": true }))
    };
    check(ask(Span::hours(1)), Permitted);
    check(ask(Span::hours(2)), NoPermit);
}

#[test]
fn partner_reads_orders_and_writes_none() {
    let order = json!({
        "uid": "Company::Order::\"o-1\"",
        "attributes": { "partner": { "__entity": { "type": "Company::Partner", "id": "acme-shop" } }, "status": "open", "total_cents": 100 },
    });
    let ask = |action: &str| {
        World::example().ask("Company::Partner::acme-shop", action, "Company::Order::o-1").asserting_resource(&order)
    };
    check(ask("readOrder"), Permitted);
    check(ask("createOrder"), ScopeCeiling);
}
