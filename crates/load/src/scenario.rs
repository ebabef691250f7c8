//! What is asked about: the example grown to a size, and questions to it whose answers are known.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use magistrate_model::{
    ActionUid, Caller, Channel, Decision, EntityData, EntityInput, EntityUid, Environment, Instant, KnownEntity, Query,
    Record, Span,
};
use magistrate_pdp::View;
use magistrate_testkit::{Scale, Scenario};
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use crate::clock;

/// A scenario with questions to it. The same seed and size give the same.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) scale: Scale,
    pub(crate) scenario: Scenario,
    pub(crate) questions: Vec<Question>,
}

/// May this user read that document, and the answer.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) user: Arc<KnownEntity>,
    pub(crate) document: Arc<KnownEntity>,
    /// Groups of the user and folders of the document, with everything above them.
    pub(crate) groups: Vec<String>,
    pub(crate) folders: Vec<String>,
    /// Roles the user holds on the document, included ones too. Magistrate finds them; others must be told.
    pub(crate) roles: Vec<String>,
    pub(crate) allowed: bool,
}

/// How many pairs of user and document are tried for one question.
const PATIENCE: usize = 400;
pub(crate) const ACTION: &str = "readDocument";
pub(crate) const NAMESPACE: &str = "Company";

impl Asked {
    /// Grows the example and finds so many questions, `deny_share` of which are denied.
    pub(crate) fn generate(seed: u64, scale: Scale, questions: usize, deny_share: f64) -> anyhow::Result<Self> {
        let scenario = Scenario::generate(seed, scale);
        let questions = Grown::of(&scenario)?.choose(seed, questions, deny_share)?;
        Ok(Self { scale, scenario, questions })
    }

    /// Writes the files: a policy directory, and data to import after it was applied.
    pub(crate) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        self.scenario.write(directory).with_context(|| format!("cannot write to `{}`", directory.display()))
    }
}

/// The scenario as a server would hold it, to find out what is right.
struct Grown {
    view: View,
    now: Instant,
    users: Vec<EntityUid>,
    documents: Vec<EntityUid>,
}

impl Grown {
    fn of(scenario: &Scenario) -> anyhow::Result<Self> {
        let now = Instant::from_micros(i64::try_from(clock::wall().as_micros())?).context("the clock is wrong")?;
        let (snapshot, dataset) = scenario.clone().build(now);
        let of = |type_name: &str| -> Vec<EntityUid> {
            let full = format!("{NAMESPACE}::{type_name}");
            let found = dataset.entities.iter().filter(|it| it.uid.type_name().as_str() == full);
            found.map(|entity| entity.uid.clone()).collect()
        };
        let (users, documents) = (of("User"), of("Document"));
        Ok(Self { view: View::offline(Arc::new(snapshot), dataset), now, users, documents })
    }

    /// Draws pairs until there are enough questions of each answer, then shuffles.
    fn choose(&self, seed: u64, count: usize, deny_share: f64) -> anyhow::Result<Vec<Question>> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "between 0 and a few thousand"
        )]
        let denied = (count as f64 * deny_share.clamp(0.0, 1.0)).round() as usize;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (mut allows, mut others) = (Vec::new(), Vec::new());
        for _ in 0..count * PATIENCE {
            let (Some(user), Some(document)) = (self.users.choose(&mut random), self.documents.choose(&mut random))
            else {
                break;
            };
            let (wanted, full) = (count - denied, denied);
            if allows.len() == wanted && others.len() == full {
                break;
            }
            let question = ask(&self.view, self.now, user, document)?;
            let (of_its_kind, wanted) = if question.allowed { (&mut allows, wanted) } else { (&mut others, full) };
            if of_its_kind.len() < wanted {
                of_its_kind.push(question);
            }
        }
        if allows.len() + others.len() < count {
            bail!(
                "found {} questions that are allowed and {} that are denied, not {} in all; ask for another share",
                allows.len(),
                others.len(),
                count
            );
        }
        allows.append(&mut others);
        allows.shuffle(&mut random);
        Ok(allows)
    }
}

fn ask(view: &View, now: Instant, user: &EntityUid, document: &EntityUid) -> anyhow::Result<Question> {
    let query = Query {
        principal: EntityInput::Reference(user.clone()),
        action: ActionUid::resolve(ACTION, NAMESPACE)?,
        resource: EntityInput::Reference(document.clone()),
        context: Record::new(),
        environment: Environment::default(),
        at_least_revision: None,
        request_id: None,
        explain: false,
        caller: Caller { address: None, channel: Channel::Grpc, key: None, trace: None },
    };
    let (question, verdict) = view.answer(query, now, Span::ZERO).map_err(|error| anyhow!("{error}"))?;
    let entities = &question.facts.entities;
    let found = |uid: &EntityUid| entities.iter().find(|it| it.uid == *uid).cloned();
    let missing = || anyhow!("a question was answered without what it is about");
    let (user, document) = (found(user).ok_or_else(missing)?, found(document).ok_or_else(missing)?);
    let id = |uid: &EntityUid| uid.id().as_str().to_owned();
    Ok(Question {
        groups: above(entities, &user),
        folders: above(entities, &document),
        roles: question.facts.roles.iter().map(|role| id(&role.uid)).collect(),
        allowed: verdict.cause.decision() == Decision::Allow,
        user,
        document,
    })
}

/// The ids of everything above an entity.
fn above(entities: &[Arc<KnownEntity>], entity: &EntityData) -> Vec<String> {
    let mut found: Vec<&EntityUid> = entity.parents.iter().collect();
    let mut seen = 0;
    while let Some(uid) = found.get(seen).copied() {
        seen += 1;
        let next = entities.iter().find(|it| it.uid == *uid);
        let further = next.into_iter().flat_map(|it| &it.parents);
        found.extend(further.filter(|it| !found.contains(it)).collect::<Vec<_>>());
    }
    found.into_iter().map(|uid| uid.id().as_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Scenario {
        Scenario::generate(1, Scale { policies: 70, assignments: 60, entities: 90 })
    }

    fn told(questions: &[Question]) -> Vec<(String, String, bool)> {
        let told = |it: &Question| (it.user.uid.to_string(), it.document.uid.to_string(), it.allowed);
        questions.iter().map(told).collect()
    }

    #[test]
    fn questions_follow_the_seed_and_keep_the_share() {
        let grown = Grown::of(&small()).unwrap();
        let chosen = |seed, share| told(&grown.choose(seed, 40, share).unwrap());
        let first = chosen(1, 0.25);
        assert_eq!(first, chosen(1, 0.25));
        assert_ne!(first, chosen(2, 0.25));
        assert_eq!(first.iter().filter(|it| !it.2).count(), 10);
        assert!(chosen(1, 0.0).iter().all(|it| it.2) && chosen(1, 1.0).iter().all(|it| !it.2));
    }

    #[test]
    fn questions_tell_what_other_engines_must_be_told() {
        let questions = Grown::of(&small()).unwrap().choose(1, 40, 0.25).unwrap();
        assert!(questions.iter().any(|it| it.roles.iter().any(|role| role == "viewer")));
        assert!(questions.iter().all(|it| !it.folders.is_empty()));
        let staff = |it: &Question| it.groups.iter().any(|group| group == "staff");
        assert!(questions.iter().any(staff), "what is above a group counts too");
    }

    /// The example alone has documents enough.
    #[test]
    fn the_example_can_be_asked_about() {
        let example = Scale { policies: 0, assignments: 0, entities: 0 };
        assert_eq!(Asked::generate(1, example, 40, 0.25).unwrap().questions.len(), 40);
    }
}
