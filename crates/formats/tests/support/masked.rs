//! What two sealed files of the same text have in common.

use std::sync::LazyLock;

use regex::Regex;

static TOKEN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"ENC\[AES256_GCM,data:[^,]*,iv:[^,]*,tag:[^,]*,type:([a-z]*)\]").unwrap());
static WRAPPED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)-----BEGIN AGE ENCRYPTED FILE-----.*?-----END AGE ENCRYPTED FILE-----").unwrap());
static TIME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").unwrap());

/// Puts a word in the place of all that differs each time a file is sealed: tokens, wrapped keys and the time.
pub fn masked(sealed: &str) -> String {
    let tokens = TOKEN.replace_all(sealed, "ENC[$1]");
    let wrapped = WRAPPED.replace_all(&tokens, "AGE");
    // Times of the metadata only: those of plain values are compared.
    let is_time = |line: &str| line.contains("lastmodified");
    let lines = wrapped.split_inclusive('\n');
    lines.map(|line| if is_time(line) { TIME.replace(line, "TIME").into_owned() } else { line.to_owned() }).collect()
}
