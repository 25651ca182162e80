//! Random files, and random ways to seal them, as strategies: trees, comments, rules and recipients.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

/// Documents that may stand in one file, and how they are sealed.
#[derive(Clone, Debug)]
pub struct Sheaf {
    /// The texts of the documents.
    pub documents: Vec<String>,
    pub way: Way,
}

/// How a file is sealed.
#[derive(Clone, Debug)]
pub struct Way {
    /// The flags of its rule.
    pub rule: &'static [&'static str],
    /// Whether the code covers only what is sealed.
    pub is_mac_only: bool,
    /// Who can open it: a number of recipients, or of groups of which all or two are needed.
    pub recipients: Recipients,
}

/// Who can open a file.
#[derive(Clone, Copy, Debug)]
pub enum Recipients {
    /// Any of so many.
    Any(usize),
    /// One of each group.
    AllGroups,
    /// One of each of two groups, of three.
    TwoGroups,
}

/// One rule of each kind, and none. Those about comments have a space in them, which no token has, so that what they match does not
/// change from run to run.
pub const RULES: [&[&str]; 7] = [
    &[],
    &["--unencrypted-suffix", "_a"],
    &["--encrypted-suffix", "_a"],
    &["--encrypted-regex", "[aeiou1]"],
    &["--unencrypted-regex", "[aeiou1]$"],
    &["--encrypted-comment-regex", "a b"],
    &["--unencrypted-comment-regex", "^ ?a b"],
];

/// Takes so many documents together, sealed in some way.
pub fn sheaf(document: impl Strategy<Value = String> + 'static, size: usize) -> impl Strategy<Value = Sheaf> {
    let recipients = prop_oneof![
        3 => (1..4_usize).prop_map(Recipients::Any),
        1 => Just(Recipients::AllGroups),
        1 => Just(Recipients::TwoGroups),
    ];
    let way = (prop::sample::select(RULES.to_vec()), any::<bool>(), recipients)
        .prop_map(|(rule, is_mac_only, recipients)| Way { rule, is_mac_only, recipients });
    (prop::collection::vec(document, size), way).prop_map(|(documents, way)| Sheaf { documents, way })
}

/// A document of YAML; comments that rules look for stand above some of its keys.
pub fn yaml() -> impl Strategy<Value = String> {
    let mark = prop::option::weighted(0.3, Just("a b".to_owned()));
    prop::collection::vec((mark, block()), 1..4).prop_map(|blocks| {
        let pieces = blocks.into_iter().map(|(mark, block)| (mark, block, None)).collect();
        nest(pieces, false, false).join("\n") + "\n"
    })
}

/// A JSON object.
pub fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => "\\PC{0,12}".prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
        1 => (-1000..1000_i32, 1..5_u32).prop_map(|(number, digits)| Value::from(f64::from(number) / f64::from(10 ^ digits))),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    let tree = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,4}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    });
    prop::collection::btree_map("[a-z_]{1,4}", tree, 1..5).prop_map(|map| serde_json::to_string(&map).unwrap())
}

/// Lines of dotenv.
pub fn dotenv() -> impl Strategy<Value = String> {
    let line = (prop::option::weighted(0.3, prop_oneof!["[ab ]{1,4}", Just("a b".to_owned())]), "\\PC{0,12}");
    prop::collection::btree_map("[a-z_]{1,4}", line, 1..5).prop_map(
        |lines: BTreeMap<String, (Option<String>, String)>| {
            let line = |(key, (comment, value)): (String, (Option<String>, String))| {
                let comment = comment.map(|text| format!("#{text}\n")).unwrap_or_default();
                format!("{comment}{key}={}\n", value.replace('\n', ""))
            };
            lines.into_iter().map(line).collect()
        },
    )
}

/// Any text.
pub fn binary() -> impl Strategy<Value = String> {
    "(?s).{0,40}"
}

/// A scalar in YAML's spelling.
fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        "-?[0-9]{1,8}",
        "[0-9]{1,3}\\.[0-9]{1,3}(e[0-9])?",
        prop::sample::select(vec!["yes", "null", "true", "0x1F", "017", "2020-01-01", "1_000", "~", ".inf", "\"\""])
            .prop_map(str::to_owned),
        "[ -~éü漢🦭]{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        "[a-z \n#:'-]{0,30}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ]
}

/// A block of YAML, as lines without indentation of its own.
fn block() -> impl Strategy<Value = Vec<String>> {
    let leaf = scalar().prop_map(|text| vec![text]);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let comment = prop::option::weighted(0.3, "[a-z #:]{0,8}");
        let behind = prop::option::weighted(0.2, "[a-z]{1,5}");
        let children = prop::collection::vec((comment, inner, behind), 1..4);
        (children, any::<bool>(), any::<bool>()).prop_map(|(children, list, foot)| nest(children, list, foot))
    })
}

type Piece = (Option<String>, Vec<String>, Option<String>);

fn nest(children: Vec<Piece>, list: bool, foot: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, (comment, inner, behind)) in children.into_iter().enumerate() {
        lines.extend(comment.map(|text| format!("# {text}")));
        let mark =
            if list { "-".to_owned() } else { format!("k{at}_{}:", if at % 2 == 0 { "a" } else { "unencrypted" }) };
        match inner.as_slice() {
            [scalar] if !scalar.ends_with(':') && !scalar.starts_with("- ") && !scalar.starts_with('#') => {
                let behind = behind.map(|text| format!(" # {text}")).unwrap_or_default();
                lines.push(format!("{mark} {scalar}{behind}"));
            }
            _ => {
                lines.push(mark);
                lines.extend(inner.into_iter().map(|line| format!("    {line}")));
            }
        }
    }
    if foot {
        lines.push("# foot".to_owned());
    }
    lines
}

/// INI: keys, some quoted, with values that are quoted, continued, commented and none of these.
pub fn ini() -> impl Strategy<Value = String> {
    let comment = || prop::option::weighted(0.3, prop_oneof!["[#;][ -~]{0,8}", Just("# a b".to_owned())]);
    let value = prop_oneof![
        "[ -~é漢]{0,16}",
        "[#;\"'`\\\\ =:a]{0,8}",
        "`[ -~]{0,8}`",
        "\"\"\"[ -~\n]{1,20}\"\"\"",
        "[a-z]{1,4} \\\\\n *[a-z#]{0,4}",
    ];
    let key = (comment(), prop::sample::select(vec!["k", "`a=b` k", "two words ", "\"q\""]), value, "[=:]");
    let section = (comment(), prop::option::weighted(0.2, "[#;][a-z ]{0,5}"), prop::collection::vec(key, 0..5));
    prop::collection::vec(section, 1..4).prop_map(|sections| {
        let mut lines = Vec::new();
        for (number, (above, behind, keys)) in sections.into_iter().enumerate() {
            lines.extend(above);
            lines.extend((number > 0).then(|| format!("[s{number}] {}", behind.unwrap_or_default())));
            for (number, (above, name, value, delimiter)) in keys.into_iter().enumerate() {
                lines.extend(above);
                let name = name.replace('k', &format!("k{number}")).replace('q', &format!("q{number}"));
                lines.push(format!("{name}{delimiter} {value}"));
            }
        }
        lines.join("\n") + "\n"
    })
}
