//! Orders of entities, and files read item by item.

use magistrate_model::EntityUid;

use super::file::{ImportFile, ItemKind};
use super::graph::Graph;
use super::problems::Problems;
use crate::data::{Data, read_csv_grants};
use crate::problem::AdminError;

fn uid(id: &str) -> EntityUid {
    EntityUid::from_parts("T", id).unwrap()
}

fn uids(ids: &str) -> Vec<EntityUid> {
    ids.split_whitespace().map(uid).collect()
}

/// A graph of items `id < parents > references`, and stored entities `id < parents`.
fn graph(items: &[&str], stored: &[&str]) -> Graph {
    let mut graph = Graph::default();
    let parse = |line: &str| {
        let (line, references) = line.split_once('>').unwrap_or((line, ""));
        let (id, parents) = line.split_once('<').unwrap_or((line, ""));
        (uid(id.trim()), uids(parents), uids(references))
    };
    for (item, line) in (0..).zip(items) {
        let (id, parents, references) = parse(line);
        assert_eq!(graph.put(item, &id, parents.iter(), &references.iter().collect::<Vec<_>>()), None);
    }
    loop {
        let unknown = graph.unknown_parents();
        if unknown.is_empty() {
            return graph;
        }
        for (id, parents, _) in stored.iter().map(|line| parse(line)).filter(|(id, ..)| unknown.contains(id)) {
            graph.stored(&id, parents.iter());
        }
    }
}

#[track_caller]
fn ordered(items: &[&str], stored: &[&str], expected: &[u32]) {
    assert_eq!(graph(items, stored).order(), (expected.to_vec(), Vec::new()), "{items:?}");
}

#[track_caller]
fn circular(items: &[&str], stored: &[&str], expected: &[u32]) {
    let mut found = graph(items, stored).order().1;
    found.sort_unstable();
    assert_eq!(found, expected, "{items:?}");
}

#[test]
fn entities_come_after_what_is_above_them() {
    ordered(&["a", "b", "c"], &[], &[0, 1, 2]);
    ordered(&["a < c", "b", "c"], &[], &[2, 0, 1]);
    ordered(&["a < b", "b < c", "c"], &[], &[2, 1, 0]);
    ordered(&["a < none"], &[], &[0]);
}

#[test]
fn entities_come_after_what_is_above_them_in_the_store() {
    ordered(&["a < x", "b"], &["x < b"], &[1, 0]);
    ordered(&["a < x", "b"], &["x < y", "y < b"], &[1, 0]);
}

#[test]
fn entities_come_after_what_their_attributes_name() {
    ordered(&["a > b", "b"], &[], &[1, 0]);
    ordered(&["a > a", "b"], &[], &[0, 1]);
}

#[test]
fn parents_come_first_where_attributes_lead_in_a_circle() {
    ordered(&["a > b", "b < a"], &[], &[0, 1]);
    ordered(&["a < b", "b > a"], &[], &[1, 0]);
    ordered(&["a > b", "b > a"], &[], &[0, 1]);
    ordered(&["a < b > x", "b < c", "c > a", "x"], &[], &[3, 2, 1, 0]);
}

#[test]
fn circle_of_parents_is_found() {
    circular(&["a < a"], &[], &[0]);
    circular(&["a < b", "b < a", "c < a", "d"], &[], &[0, 1]);
    circular(&["a < b > c", "b < a", "c > a"], &[], &[0, 1]);
    circular(&["a < x", "b"], &["x < y", "y < a"], &[0]);
    circular(&["a > a", "b > c", "c > b"], &[], &[]);
    // What an item says replaces what is stored of it.
    circular(&["a < x", "b"], &["x < b", "b < a"], &[]);
}

#[test]
fn chain_may_be_long() {
    let mut graph = Graph::default();
    let count = 100_000;
    for item in 0..count {
        let parent = (item + 1 < count).then(|| uid(&format!("n{}", item + 1)));
        assert_eq!(graph.put(item, &uid(&format!("n{item}")), parent.iter(), &[]), None);
    }
    assert_eq!(graph.order(), ((0..count).rev().collect(), Vec::new()));
}

#[test]
fn entity_put_twice_is_found() {
    let mut graph = graph(&["a", "b"], &[]);
    assert_eq!(graph.put(2, &uid("b"), [].iter(), &[]), Some(1));
}

#[test]
fn items_are_those_of_the_whole_file() {
    let csv = "\u{feff}holder_type,holder_id,role,expires_at,reason\r\n\
        T,a,editor,+1d,\"first, quoted\"\r\n\r\n\
        T,b,editor,+1d,\"second\nover two lines\"\r\n\
        T,ü,editor,+1d,third";
    let whole = read_csv_grants("g.csv", csv).unwrap();
    let file = ImportFile::new("g.csv", csv.to_owned(), ItemKind::CsvGrants).unwrap();
    let one_by_one: Vec<_> = (0..file.count()).map(|item| file.located(item, file.grant(item).unwrap())).collect();
    assert_eq!((whole.len(), &one_by_one), (3, &whole));
    let jsonl = "\n{\"uid\":\"T::\\\"a\\\"\"}\r\n  \n{\"uid\":\"T::\\\"ü\\\"\"}\n\n{\"uid\":\"T::\\\"c\\\"\"}";
    let mut whole = Data::default();
    whole.add_jsonl("entities", "e.jsonl", jsonl).unwrap();
    let file = ImportFile::new("e.jsonl", jsonl.to_owned(), ItemKind::Entities).unwrap();
    let one_by_one: Vec<_> = (0..file.count()).map(|item| file.located(item, file.entity(item).unwrap())).collect();
    assert_eq!((whole.entities.len(), &one_by_one), (3, &whole.entities));
}

#[test]
fn uneven_csv_rows_are_told_with_their_lines() {
    let csv = "role,reason\na,b\na\na,b,c\n";
    let error = ImportFile::new("g.csv", csv.to_owned(), ItemKind::CsvGrants).unwrap_err();
    let AdminError::Problems(problems) = error else { panic!("{error}") };
    let places: Vec<&str> = problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(places, ["g.csv:3", "g.csv:4"]);
}

#[test]
fn problems_are_told_by_line_and_counted_beyond_what_is_kept() {
    let told = |lines: &[u32]| {
        let mut problems = Problems::default();
        lines.iter().for_each(|line| problems.note(*line, format!("f:{line}"), "is wrong".to_owned()));
        problems.none().map_err(|error| error.to_string())
    };
    assert_eq!(told(&[]), Ok(()));
    assert_eq!(told(&[10, 9]), Err("f:9: is wrong\nf:10: is wrong".to_owned()));
    let many = told(&(1..=5_000).collect::<Vec<_>>()).unwrap_err();
    assert!(many.ends_with("f:20: is wrong\n… and 4980 more"), "{many}");
}
