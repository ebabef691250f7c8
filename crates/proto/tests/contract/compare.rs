//! What breaks between two versions of a contract: additions do not, everything else does.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
};

/// The messages, enums and methods of a descriptor set by full name.
#[derive(Debug, Default)]
pub(crate) struct Contract {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, EnumDescriptorProto>,
    methods: BTreeMap<String, MethodDescriptorProto>,
}

impl Contract {
    /// Everything a descriptor set declares.
    pub(crate) fn of(set: &FileDescriptorSet) -> Self {
        let mut contract = Self::default();
        for file in &set.file {
            contract.add_enums(file.package(), &file.enum_type);
            contract.add_messages(file.package(), &file.message_type);
            for service in &file.service {
                for method in &service.method {
                    let name = format!("{}.{}.{}", file.package(), service.name(), method.name());
                    contract.methods.insert(name, method.clone());
                }
            }
        }
        contract
    }

    fn add_messages(&mut self, parent: &str, messages: &[DescriptorProto]) {
        for message in messages {
            let name = format!("{parent}.{}", message.name());
            self.add_enums(&name, &message.enum_type);
            self.add_messages(&name, &message.nested_type);
            self.messages.insert(name, message.clone());
        }
    }

    fn add_enums(&mut self, parent: &str, enums: &[EnumDescriptorProto]) {
        let named = enums.iter().map(|it| (format!("{parent}.{}", it.name()), it.clone()));
        self.enums.extend(named);
    }

    /// What a peer built against `old` would no longer understand, one line each.
    pub(crate) fn breaks_since(&self, old: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, was) in &old.messages {
            match self.messages.get(name) {
                Some(is) => compare_messages(name, was, is, &mut found),
                None => found.push(format!("message {name} was removed")),
            }
        }
        for (name, was) in &old.enums {
            match self.enums.get(name) {
                Some(is) => compare_enums(name, was, is, &mut found),
                None => found.push(format!("enum {name} was removed")),
            }
        }
        for (name, was) in &old.methods {
            match self.methods.get(name) {
                Some(is) if is == was => {}
                Some(_) => found.push(format!("method {name} changed its messages, its streaming or its options")),
                None => found.push(format!("method {name} was removed")),
            }
        }
        found
    }
}

fn compare_messages(name: &str, was: &DescriptorProto, is: &DescriptorProto, found: &mut Vec<String>) {
    let by_number: BTreeMap<i32, &FieldDescriptorProto> = is.field.iter().map(|it| (it.number(), it)).collect();
    for old in &was.field {
        match by_number.get(&old.number()) {
            Some(new) => compare_fields(name, (was, old), (is, new), found),
            None => found.push(format!("field {name}.{} = {} was removed", old.name(), old.number())),
        }
    }
    Reservations {
        what: name,
        old: was.reserved_range.iter().map(|it| (it.start(), it.end())).collect(),
        new: is.reserved_range.iter().map(|it| (it.start(), it.end())).collect(),
        old_names: was.reserved_name.iter().map(String::as_str).collect(),
        new_names: is.reserved_name.iter().map(String::as_str).collect(),
        taken: is.field.iter().map(|it| (it.number(), it.name())).collect(),
    }
    .compare(found);
}

type FieldOf<'a> = (&'a DescriptorProto, &'a FieldDescriptorProto);

fn compare_fields(message: &str, (was, old): FieldOf<'_>, (is, new): FieldOf<'_>, found: &mut Vec<String>) {
    let mut changed = |what: &str, from: &str, to: &str| {
        if from != to {
            let (field, number) = (old.name(), old.number());
            found.push(format!("field {message}.{field} = {number} changed its {what} from `{from}` to `{to}`"));
        }
    };
    changed("name", old.name(), new.name());
    changed("JSON name", old.json_name(), new.json_name());
    changed("type", &type_of(old), &type_of(new));
    changed("label", old.label().as_str_name(), new.label().as_str_name());
    changed("presence", presence_of(old), presence_of(new));
    changed("oneof", oneof_of(was, old), oneof_of(is, new));
}

fn type_of(field: &FieldDescriptorProto) -> String {
    if field.type_name().is_empty() {
        return field.r#type().as_str_name().to_owned();
    }
    field.type_name().to_owned()
}

fn presence_of(field: &FieldDescriptorProto) -> &'static str {
    if field.proto3_optional() { "optional" } else { "plain" }
}

fn oneof_of<'a>(message: &'a DescriptorProto, field: &FieldDescriptorProto) -> &'a str {
    let index = field.oneof_index.and_then(|index| usize::try_from(index).ok());
    let oneof = index.and_then(|index| message.oneof_decl.get(index));
    oneof.map_or("none", |oneof| oneof.name())
}

fn compare_enums(name: &str, was: &EnumDescriptorProto, is: &EnumDescriptorProto, found: &mut Vec<String>) {
    let values = |of: &EnumDescriptorProto| -> BTreeSet<(i32, String)> {
        of.value.iter().map(|it| (it.number(), it.name().to_owned())).collect()
    };
    for (number, value) in values(was).difference(&values(is)) {
        found.push(format!("value {name}.{value} = {number} was removed, renamed or renumbered"));
    }
    Reservations {
        what: name,
        old: was.reserved_range.iter().map(|it| (it.start(), it.end() + 1)).collect(),
        new: is.reserved_range.iter().map(|it| (it.start(), it.end() + 1)).collect(),
        old_names: was.reserved_name.iter().map(String::as_str).collect(),
        new_names: is.reserved_name.iter().map(String::as_str).collect(),
        taken: is.value.iter().map(|it| (it.number(), it.name())).collect(),
    }
    .compare(found);
}

/// Numbers and names that wait for a feature. A number may be taken only under a name that was reserved
/// with it, and a name only with a number that was: anything else, or giving one up, is a break.
struct Reservations<'a> {
    what: &'a str,
    /// From the first number to the one after the last.
    old: Vec<(i32, i32)>,
    new: Vec<(i32, i32)>,
    old_names: BTreeSet<&'a str>,
    new_names: BTreeSet<&'a str>,
    taken: BTreeMap<i32, &'a str>,
}

impl Reservations<'_> {
    fn compare(&self, found: &mut Vec<String>) {
        let what = self.what;
        for &(start, end) in &self.old {
            if let Some(number) = self.first_given_up(start, end) {
                found.push(match self.taken.get(&number) {
                    Some(name) => {
                        format!("{what} gives the reserved number {number} to `{name}`, which was not reserved")
                    }
                    None => format!("{what} no longer reserves the number {number}"),
                });
            }
        }
        for &name in &self.old_names {
            let taken = self.taken.iter().find(|(_, taken)| **taken == name);
            match taken {
                Some((number, _)) if !within(&self.old, *number) => {
                    found.push(format!(
                        "{what} gives the reserved name `{name}` the number {number}, which was not reserved"
                    ));
                }
                Some(_) => {}
                None if self.new_names.contains(name) => {}
                None => found.push(format!("{what} no longer reserves the name `{name}`")),
            }
        }
    }

    fn first_given_up(&self, start: i32, end: i32) -> Option<i32> {
        let mut number = start;
        while number < end {
            let kept = self.new.iter().find(|(from, to)| (*from..*to).contains(&number));
            let named = self.taken.get(&number).is_some_and(|name| self.old_names.contains(name));
            number = match kept {
                Some((_, to)) => *to,
                None if named => number + 1,
                None => return Some(number),
            };
        }
        None
    }
}

fn within(ranges: &[(i32, i32)], number: i32) -> bool {
    ranges.iter().any(|(start, end)| (*start..*end).contains(&number))
}
