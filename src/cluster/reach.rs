//! Where the controller works: in the whole cluster, or in the namespaces that `--watch-namespaces` names.
//!
//! A Sync elsewhere doesn't exist for it. What a Sync applies elsewhere is between its ServiceAccount and the API server: the
//! controller doesn't watch it, and looks at it as that ServiceAccount alone.

use std::collections::BTreeSet;

use waxwing_plan::{GroupKind, ObjectId};

/// Where the controller works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// In every namespace, and on objects that are in none.
    Cluster,
    /// In these namespaces.
    Namespaces(BTreeSet<String>),
}

/// What one watch is about: a kind, in one namespace or wherever it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) kind: GroupKind,
    pub(super) namespace: Option<String>,
}

impl Reach {
    /// Returns the reach that these names of namespaces ask for: without one, the whole cluster.
    pub fn of(names: &[String]) -> Self {
        match names.is_empty() {
            true => Self::Cluster,
            false => Self::Namespaces(names.iter().cloned().collect()),
        }
    }

    /// Tells whether a namespace is within reach.
    pub fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::Cluster => true,
            Self::Namespaces(names) => names.contains(namespace),
        }
    }

    /// Returns the namespaces to ask about, one by one; none stands for all of them at once.
    pub fn namespaces(&self) -> Vec<Option<&str>> {
        match self {
            Self::Cluster => vec![None],
            Self::Namespaces(names) => names.iter().map(|name| Some(name.as_str())).collect(),
        }
    }

    /// Returns which watch an object belongs to, none for one that is out of reach.
    pub(super) fn place(&self, id: &ObjectId) -> Option<Place> {
        let namespace = match self {
            Self::Cluster => None,
            Self::Namespaces(_) => Some(id.namespace.clone().filter(|name| self.covers(name))?),
        };
        Some(Place { kind: id.kind.clone(), namespace })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} in namespace {namespace}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(namespace: Option<&str>) -> ObjectId {
        ObjectId { kind: GroupKind::new("", "Thing"), namespace: namespace.map(str::to_owned), name: "a".to_owned() }
    }

    #[test]
    fn in_the_whole_cluster_there_is_one_watch_for_a_kind() {
        let all = Reach::of(&[]);
        assert_eq!(all.place(&id(Some("shop"))), all.place(&id(None)));
        assert_eq!((all.namespaces(), all.covers("any")), (vec![None], true));
    }

    #[test]
    fn in_some_namespaces_there_is_one_watch_for_a_kind_and_namespace_and_none_beyond() {
        let some = Reach::of(&["shop".to_owned(), "bank".to_owned()]);
        assert_eq!(some.namespaces(), [Some("bank"), Some("shop")]);
        assert_eq!(
            some.place(&id(Some("shop"))).map(|place| place.to_string()).as_deref(),
            Some("Thing in namespace shop")
        );
        assert_ne!(some.place(&id(Some("shop"))), some.place(&id(Some("bank"))));
        assert_eq!((some.place(&id(Some("other"))), some.place(&id(None))), (None, None));
    }
}
