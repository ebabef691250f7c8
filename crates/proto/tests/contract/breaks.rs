//! Each kind of break is seen, and additions are not.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
};

use crate::compare::Contract;
use crate::current;

/// Changes the contract and returns what the comparison says.
fn breaks(change: impl FnOnce(&mut FileDescriptorSet)) -> Vec<String> {
    let Ok(old) = current() else {
        return vec!["the descriptor set does not decode".to_owned()];
    };
    let mut new = old.clone();
    change(&mut new);
    Contract::of(&new).breaks_since(&Contract::of(&old))
}

#[track_caller]
fn check(change: impl FnOnce(&mut FileDescriptorSet), expected: &[&str]) {
    assert_eq!(breaks(change), expected);
}

fn in_message<'a>(set: &'a mut FileDescriptorSet, name: &str) -> impl Iterator<Item = &'a mut DescriptorProto> {
    let all = set.file.iter_mut().flat_map(|file| file.message_type.iter_mut());
    all.filter(move |message| message.name() == name)
}

fn message(set: &mut FileDescriptorSet, name: &str, change: impl Fn(&mut DescriptorProto)) {
    in_message(set, name).for_each(change);
}

fn field(set: &mut FileDescriptorSet, name: &str, of: &str, change: impl Fn(&mut FieldDescriptorProto)) {
    let fields = in_message(set, of).flat_map(|message| message.field.iter_mut());
    fields.filter(|field| field.name() == name).for_each(change);
}

fn enumeration(set: &mut FileDescriptorSet, name: &str, change: impl Fn(&mut EnumDescriptorProto)) {
    let all = set.file.iter_mut().flat_map(|file| file.enum_type.iter_mut());
    all.filter(|it| it.name() == name).for_each(change);
}

fn text_field(name: &str, number: i32) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::String.into()),
        ..FieldDescriptorProto::default()
    }
}

#[test]
fn additions_are_fine() {
    check(|_| {}, &[]);
    check(
        |set| {
            message(set, "Advice", |it| it.field.push(text_field("severity", 4)));
            enumeration(set, "Cause", |it| {
                it.value.push(EnumValueDescriptorProto {
                    name: Some("CAUSE_NEW".to_owned()),
                    number: Some(9),
                    ..EnumValueDescriptorProto::default()
                });
            });
            for file in &mut set.file {
                file.message_type.push(DescriptorProto { name: Some("New".to_owned()), ..DescriptorProto::default() });
            }
        },
        &[],
    );
}

#[test]
fn removed_field_breaks() {
    check(
        |set| message(set, "Advice", |it| it.field.retain(|field| field.name() != "value")),
        &["field magistrate.v1.Advice.value = 3 was removed"],
    );
}

#[test]
fn renumbered_field_breaks() {
    check(
        |set| field(set, "value", "Advice", |it| it.number = Some(9)),
        &["field magistrate.v1.Advice.value = 3 was removed"],
    );
}

#[test]
fn renamed_field_breaks() {
    check(
        |set| field(set, "value", "Advice", |it| it.name = Some("text".to_owned())),
        &["field magistrate.v1.Advice.value = 3 changed its name from `value` to `text`"],
    );
}

#[test]
fn changed_type_breaks() {
    check(
        |set| field(set, "seq", "Receipt", |it| it.r#type = Some(Type::Int64.into())),
        &["field magistrate.v1.Receipt.seq = 2 changed its type from `TYPE_UINT64` to `TYPE_INT64`"],
    );
    check(
        |set| {
            field(set, "principal", "BatchItem", |it| {
                it.type_name = Some(".magistrate.v1.EntityRef".to_owned());
            });
        },
        &["field magistrate.v1.BatchItem.principal = 1 changed its type from `.magistrate.v1.Entity` \
           to `.magistrate.v1.EntityRef`"],
    );
}

#[test]
fn changed_label_breaks() {
    check(
        |set| {
            field(set, "grants", "CheckResponse", |it| {
                it.label = Some(Label::Optional.into());
            });
        },
        &["field magistrate.v1.CheckResponse.grants = 11 changed its label from `LABEL_REPEATED` to `LABEL_OPTIONAL`"],
    );
}

#[test]
fn changed_presence_breaks() {
    check(
        |set| field(set, "explain", "CheckRequest", |it| it.proto3_optional = Some(true)),
        &["field magistrate.v1.CheckRequest.explain = 7 changed its presence from `plain` to `optional`"],
    );
}

#[test]
fn changed_oneof_breaks() {
    check(
        |set| field(set, "error", "BatchResult", |it| it.oneof_index = None),
        &["field magistrate.v1.BatchResult.error = 2 changed its oneof from `outcome` to `none`"],
    );
    check(
        |set| {
            message(set, "BatchResult", |it| {
                it.oneof_decl.iter_mut().for_each(|oneof| oneof.name = Some("result".to_owned()));
                it.field.retain(|field| field.name() == "error");
            });
        },
        &[
            "field magistrate.v1.BatchResult.response = 1 was removed",
            "field magistrate.v1.BatchResult.error = 2 changed its oneof from `outcome` to `result`",
        ],
    );
}

#[test]
fn removed_message_enum_or_method_breaks() {
    let named = |kept: Option<&str>, gone: &str| kept != Some(gone);
    check(
        |set| {
            set.file.iter_mut().for_each(|file| file.message_type.retain(|it| named(it.name.as_deref(), "Advice")));
        },
        &["message magistrate.v1.Advice was removed"],
    );
    check(
        |set| {
            set.file.iter_mut().for_each(|file| file.enum_type.retain(|it| named(it.name.as_deref(), "Cause")));
        },
        &["enum magistrate.v1.Cause was removed"],
    );
    check(
        |set| {
            let services = set.file.iter_mut().flat_map(|file| file.service.iter_mut());
            services.for_each(|service| service.method.retain(|it| named(it.name.as_deref(), "CheckBatch")));
        },
        &["method magistrate.v1.AuthorizationService.CheckBatch was removed"],
    );
}

#[test]
fn changed_method_breaks() {
    let expected =
        ["method magistrate.v1.AuthorizationService.Check changed its messages, its streaming or its options"];
    let changed = |change: fn(&mut prost_types::MethodDescriptorProto)| {
        breaks(|set| {
            let services = set.file.iter_mut().flat_map(|file| file.service.iter_mut());
            let methods = services.flat_map(|service| service.method.iter_mut());
            methods.filter(|it| it.name() == "Check").for_each(change);
        })
    };
    assert_eq!(changed(|it| it.server_streaming = Some(true)), expected);
    assert_eq!(changed(|it| it.input_type = Some(".magistrate.v1.BatchItem".to_owned())), expected);
}

#[test]
fn changed_enum_value_breaks() {
    let expected = ["value magistrate.v1.Decision.DECISION_DENY = 2 was removed, renamed or renumbered"];
    let changed = |change: fn(&mut EnumValueDescriptorProto)| {
        breaks(|set| {
            enumeration(set, "Decision", |it| {
                it.value.iter_mut().filter(|value| value.number() == 2).for_each(change);
            });
        })
    };
    assert_eq!(changed(|it| it.number = Some(3)), expected);
    assert_eq!(changed(|it| it.name = Some("DECISION_NO".to_owned())), expected);
    check(|set| enumeration(set, "Decision", |it| it.value.retain(|value| value.number() != 2)), &expected);
}

#[test]
fn reserved_number_is_for_the_name_reserved_with_it() {
    let take = |name: &'static str, number: i32| {
        breaks(move |set| {
            message(set, "Receipt", |it| {
                it.reserved_range.iter_mut().for_each(|range| range.start = Some(6));
                it.reserved_name.retain(|reserved| reserved != "checkpoint");
                it.field.push(text_field(name, number));
            });
        })
    };
    assert!(take("checkpoint", 5).is_empty());
    assert_eq!(
        take("other", 5),
        [
            "magistrate.v1.Receipt gives the reserved number 5 to `other`, which was not reserved",
            "magistrate.v1.Receipt no longer reserves the name `checkpoint`",
        ]
    );
    assert_eq!(
        take("checkpoint", 9),
        [
            "magistrate.v1.Receipt no longer reserves the number 5",
            "magistrate.v1.Receipt gives the reserved name `checkpoint` the number 9, which was not reserved",
        ]
    );
}

#[test]
fn reservation_may_not_be_given_up() {
    check(
        |set| {
            message(set, "CheckResponse", |it| {
                it.reserved_range.clear();
                it.reserved_name.clear();
            });
        },
        &[
            "magistrate.v1.CheckResponse no longer reserves the number 14",
            "magistrate.v1.CheckResponse no longer reserves the name `http_status`",
        ],
    );
}
