//! The closure key: equal keys mean equal renders, so that one that is known need not be made again.

use sha2::{Digest, Sha256};

use super::{RenderOptions, SourceFiles};

/// The version of this renderer and of the Kustomize that it is made for; a new one renders everything again.
const RENDERER: &str = "waxwing-render/1 kustomize/5.8.2";

/// Names a render by everything that it was made of, apart from what the cluster says of kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClosureKey(String);

impl ClosureKey {
    /// Returns the key as 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SHA-256 over length-prefixed parts: the renderer, the options, the files with their blob ids, the handles
    /// (which hold the key of those of clear text), the stores of other tools and the folders to build.
    pub(super) fn of(files: &SourceFiles, options: &RenderOptions) -> Self {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(RENDERER.as_bytes());
        part(options.default_namespace.as_bytes());
        for (path, blob) in &files.closure {
            part(path.as_bytes());
            part(blob.as_bytes());
        }
        part(b"handles");
        files.handles.iter().for_each(|(handle, _)| part(handle.as_str().as_bytes()));
        // What stands for a store of another tool decides which text is a handle, also beyond the files.
        part(format!("{:?}", files.foreign).as_bytes());
        part(b"roots");
        files.roots.iter().for_each(|root| part(root.as_str().as_bytes()));
        Self(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
