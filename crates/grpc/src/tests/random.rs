//! Nothing a peer sends makes the door panic.

use magistrate_proto::structure::{Entry, Kind, ListValue, Struct, Value};
use magistrate_proto::v1::{CheckBatchRequest, CheckRequest};
use proptest::prelude::*;
use prost::Message;

use crate::batch::batch;
use crate::fuzzed::fits;
use crate::query::query;
use crate::tests::{far, near, plain};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(None),
        Just(Some(Kind::Null(0))),
        any::<f64>().prop_map(|it| Some(Kind::Number(it))),
        any::<bool>().prop_map(|it| Some(Kind::Bool(it))),
        ".{0,12}".prop_map(|it| Some(Kind::String(it))),
    ];
    let leaf = leaf.prop_map(|kind| Value { kind });
    leaf.prop_recursive(12, 64, 4, |inner| {
        let list =
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| Kind::List(ListValue { values }).into());
        prop_oneof![list, structure(inner).prop_map(Value::from)]
    })
}

fn structure(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Struct> {
    let key = prop_oneof![".{0,6}", "__entity", "__extn", "type|id|fn|arg"];
    let entry = (key, prop::option::of(inner)).prop_map(|(key, value)| Entry { key, value });
    prop::collection::vec(entry, 0..4).prop_map(|fields| Struct { fields })
}

proptest! {
    #[test]
    fn random_bytes_are_a_query_or_a_refusal(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        if let Ok(request) = CheckRequest::decode(bytes.as_slice()) {
            for asking in [near(), far()] {
                prop_assert!(query(&request, &asking).err().is_none_or(|refusal| fits(&refusal)));
            }
        }
        if let Ok(request) = CheckBatchRequest::decode(bytes.as_slice()) {
            prop_assert!(batch(&request, &near()).err().is_none_or(|refusal| fits(&refusal)));
        }
    }

    #[test]
    fn mutated_requests_are_a_query_or_a_refusal(
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        context in structure(value()),
    ) {
        let mut bytes = CheckRequest { context: Some(context), ..plain() }.encode_to_vec();
        let position = position.index(bytes.len());
        bytes.iter_mut().skip(position).take(1).for_each(|it| *it = byte);
        if let Ok(request) = CheckRequest::decode(bytes.as_slice()) {
            prop_assert!(query(&request, &near()).err().is_none_or(|refusal| fits(&refusal)));
        }
    }

    #[test]
    fn accepted_contexts_keep_their_bounds(context in structure(value())) {
        let request = CheckRequest { context: Some(context), ..plain() };
        if let Ok(query) = query(&request, &near()) {
            prop_assert_eq!(magistrate_model::Bounds::REQUEST.check("it", &query.context), Ok(()));
        }
    }
}
