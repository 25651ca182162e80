//! Annotations in which tools keep a copy of the whole object that they applied, of a Secret with its values in the clear: kubectl's
//! `kubectl.kubernetes.io/last-applied-configuration`, and kubecfg's `kubecfg.ksonnet.io/last-applied-configuration`.
//!
//! Not here: taking them out, since metadata comes in several types.

/// Tells whether an annotation of this name keeps a copy of its object, whichever tool it is of.
pub fn is_copy_of_the_object(annotation: &str) -> bool {
    annotation.ends_with("/last-applied-configuration")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_told_from_other_annotations_by_the_end_of_their_names() {
        let copies =
            ["kubectl.kubernetes.io/last-applied-configuration", "kubecfg.ksonnet.io/last-applied-configuration"];
        assert!(copies.into_iter().all(is_copy_of_the_object));
        let others =
            ["", "last-applied-configuration", "kubectl.kubernetes.io/restartedAt", "x/last-applied-configurations"];
        assert!(!others.into_iter().any(is_copy_of_the_object));
    }
}
