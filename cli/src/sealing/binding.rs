//! What the items of a SealedSecret are bound to where it stands: its name, its namespace and its scope, well-formed or not.

use serde_json::Value;
use waxwing_formats::sealed_secret::Scope;

/// The name, namespace and scope of an object; what is missing is empty.
pub(crate) struct Binding {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) scope: Scope,
}

impl Binding {
    /// Reads them from the object itself, and never from its template.
    pub(crate) fn of(object: &Value) -> Self {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
        Self {
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            scope: annotations.map(Scope::from_annotations).unwrap_or_default(),
        }
    }

    /// Returns the binding of an object whose items can be opened or sealed; nothing where they are bound to a namespace that it does not name.
    pub(super) fn known(object: &Value) -> Option<Self> {
        Some(Self::of(object)).filter(|binding| binding.scope == Scope::ClusterWide || !binding.namespace.is_empty())
    }

    /// Returns the label that items of a scope are sealed under.
    pub(crate) fn label(&self, scope: Scope) -> Vec<u8> {
        scope.label(&self.namespace, &self.name)
    }

    /// Returns the label that its items should be sealed under.
    pub(crate) fn own_label(&self) -> Vec<u8> {
        self.label(self.scope)
    }

    /// Returns the scopes that it does not have.
    pub(crate) fn other_scopes(&self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(|scope| *scope != self.scope)
    }
}
