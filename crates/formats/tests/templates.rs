//! Templates of SealedSecrets: what is refused and in which words, that nothing of a value gets into them, that nothing
//! panics or runs away, and which keys end in the Secret.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops where it stands")]
#![allow(clippy::disallowed_methods, reason = "a test reads fixtures")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;

use proptest::prelude::*;
use serde_json::json;
use support::templates::{corpus, rendered};
use waxwing_formats::SecretBytes;
use waxwing_formats::go_template::{Allowance, Fault, GoTemplate, REFUSED, TemplateError, Values, signatures};
use waxwing_formats::sealed_secret::SealedSecretManifest;

const CANARY: &str = "canary-7f3a";

fn render(text: &str) -> Result<Vec<u8>, TemplateError> {
    rendered("t", text, &BTreeMap::from([("canary".to_owned(), CANARY.to_owned())]))
}

/// Templates that fail, most of them with the value at hand that an engine would quote.
const FAILING: &[&str] = &[
    "{{ .canary",
    "{{ .canary.x }}",
    "{{ .canary 1 }}",
    "line 1\n{{ if .canary }}",
    "{{ nonsense .canary }}",
    "{{ env \"HOME\" }}",
    "{{ \"canary-7f3a\" | nonsense }}",
    "{{ index .canary 100 }}",
    "{{ index . .canary 1 }}",
    "line 1\n{{ index (dict) 5 }}",
    "{{ fail .canary }}",
    "{{ .canary | indent }}",
    "{{ indent .canary .canary }}",
    "{{ indent (add 1 1) .canary }}",
    "{{ substr 50 60 .canary }}",
    "{{ b64dec .canary }}",
    "{{ b32dec .canary }}",
    "{{ mustFromJson .canary }}",
    "{{ regexFind .canary \"(\" }}{{ regexFind \"(\" .canary }}",
    "{{ range .canary }}{{ end }}",
    "{{ template \"canary-7f3a\" }}",
    "{{ lt .canary 1 }}",
    "{{ ternary .canary 1 .canary }}",
    "{{ get . \"canary\" }}",
    "{{ div 1 0 }}",
    "{{ $x }}",
    "{{ $x = .canary }}",
    "{{ break }}",
    "{{ 99999999999999999999 }}",
    "{{ 1i }}",
    "{{ \"\\q\" }}",
    "{{ define \"a\" }}1{{ end }}{{ define \"a\" }}2{{ end }}",
    "{{ printf \"%p\" .canary }}",
    "{{ printf \"%999999d\" 1 }}",
    "{{ printf \"%.65536f\" 1.5 }}",
    "{{ printf \"%1000001d\" 1 }}",
    "{{ printf \"%10000000d|\" 1 }}",
    "{{ printf \"%-99999999999999999999d|\" 1 }}",
    "{{ printf \"%.10000000f|\" 1.5 }}",
    "{{ regexReplaceAll \"(a)\" \"a\" \"$é\" }}",
    "{{ regexReplaceAll \"(a)\" \"a\" \"${1٣}\" }}",
    "{{ define \"r\" }}{{ template \"r\" . }}{{ end }}{{ template \"r\" .canary }}",
    "{{ range until 100000000 }}{{ end }}",
    "{{ repeat 2000000 .canary }}",
    "{{ $x := .canary }}{{ range until 60 }}{{ $x = print $x $x }}{{ end }}{{ $x }}",
    "{{ $x := list }}{{ range until 100 }}{{ $x = list $x }}{{ end }}{{ $x }}",
    "{{ $d := dict }}{{ $_ := set $d \"self\" $d }}{{ $d }}",
    "{{ $d := dict }}{{ $_ := set $d \"self\" $d }}{{ toJson $d }}",
    "{{ $d := dict }}{{ $_ := set $d \"self\" $d }}{{ deepEqual $d (deepCopy $d) }}",
    "{{ range until 10000 }}{{ range until 10000 }}{{ end }}{{ end }}",
    "{{ range until 70 }}{{ regexMatch (print \"a\" .) \"x\" }}{{ end }}",
    "{{ $d := dict }}{{ $_ := set $d \"self\" $d }}{{ merge (dict \"self\" (deepCopy (dict \"self\" (dict \"x\" 1)))) $d }}{{ merge $d $d }}",
    "{{ mulf 1e300 1e300 1e300 1e300 1e300 1e300 1e300 1e300 1e300 1e300 1e300 1e300 1e300 1e300 1e300 1 1e-300 }}",
    "{{ fromJson (repeat 100 \"[\") }}{{ mustFromJson (repeat 100 \"[\") }}",
];

#[test]
fn each_failing_template_is_refused_with_line_and_function_and_without_a_value() {
    let mut report = String::new();
    for text in FAILING {
        let error = render(text).err().unwrap_or_else(|| panic!("{text} did not fail"));
        writeln!(report, "{text:?}\n    {error}\n    hint: {}", error.hint()).unwrap();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error:?}");
    }
    insta::assert_snapshot!("failing templates", report);
}

#[test]
fn nesting_is_bounded_before_the_stack_ends() {
    let nested = |count: usize| format!("{}x{}", "{{ if true }}".repeat(count), "{{ end }}".repeat(count));
    let chained = |count: usize| format!("{{{{ if false }}}}{}{{{{ end }}}}", "{{ else if false }}".repeat(count));
    let bracketed = |count: usize| format!("{{{{ {}1{} }}}}", "(".repeat(count), ")".repeat(count));
    assert_eq!(render(&nested(49)).unwrap(), b"x");
    assert_eq!(render(&chained(48)).unwrap(), b"");
    assert_eq!(render(&bracketed(49)).unwrap(), b"1");
    for text in [nested(100_000), chained(100_000), bracketed(100_000)] {
        assert!(matches!(render(&text).unwrap_err().fault, Fault::Limit(_)));
    }
    // As deep as both the parser and a run let it be.
    let body = format!("{}{{{{ template \"r\" . }}}}{}", "{{ if (((true))) }}".repeat(40), "{{ end }}".repeat(40));
    let text = format!("{{{{ define \"r\" }}}}{body}{{{{ end }}}}{{{{ template \"r\" . }}}}");
    assert!(matches!(render(&text).unwrap_err().fault, Fault::Limit(_)));
}

#[test]
fn the_work_of_all_templates_of_a_secret_is_bounded_together() {
    let text = "{{ range until 1000 }}{{ range until 100 }}{{ end }}{{ end }}";
    let template = GoTemplate::parse("t", text).unwrap();
    let (values, mut allowance) = (Values::new([].into_iter()), Allowance::default());
    let runs = (0..100).take_while(|_| template.render(&values, &mut allowance).is_ok()).count();
    assert!((1..20).contains(&runs), "{runs}");
}

/// What takes far more time or memory than it looks like; `BIG` stands for a text of a megabyte. Each of them has a function or a
/// form of the language that once was free, or was paid for when it was too late.
const EXPENSIVE: &[&str] = &[
    "{{ $x := BIG }}{{ range until 1000 }}{{ $_ := sha512sum $x }}{{ end }}",
    "{{ $x := BIG }}{{ range until 1000 }}{{ $_ := hasPrefix $x (print $x) }}{{ end }}",
    "{{ $x := BIG }}{{ range until 1000 }}{{ $_ := trimPrefix \"y\" $x | len }}{{ end }}",
    "{{ $x := repeat 1000000 \" \" }}{{ range until 1000 }}{{ $_ := nospace $x }}{{ end }}",
    "{{ $x := BIG }}{{ range until 1000 }}{{ $_ := atoi $x }}{{ end }}",
    "{{ $x := BIG }}{{ range until 1000 }}{{ $_ := eq $x (print $x) }}{{ end }}",
    "{{ $x := BIG }}{{ range until 1000 }}{{ $_ := contains (print $x \"y\") $x }}{{ end }}",
    "{{ $x := print BIG BIG BIG BIG BIG BIG BIG BIG }}{{ replace \"\" \"\" $x }}{{ splitList \"\" $x }}",
    "{{ $x := print BIG BIG BIG BIG BIG BIG BIG BIG }}{{ split \"x\" $x }}",
    "{{ $x := print BIG BIG BIG BIG BIG BIG BIG BIG }}{{ regexSplit \"x\" $x -1 }}",
    "{{ $x := print BIG BIG BIG BIG BIG BIG BIG BIG }}{{ fromJson (print \"[1\" (replace \"x\" \",1\" $x) \"]\") }}",
    "{{ $x := until 400000 }}{{ range until 100 }}{{ $_ := concat $x $x $x $x $x $x $x $x $x $x $x $x $x }}{{ end }}",
    "{{ $x := splitList \"x\" (repeat 200000 \"x\") }}{{ range until 10000 }}{{ $_ := print $x }}{{ end }}",
    "{{ $x := splitList \"x\" (repeat 200000 \"x\") }}{{ range until 10000 }}{{ $_ := printf \"%s\" $x }}{{ end }}",
    "{{ $d := dict BIG 1 }}{{ $c := deepCopy $d }}{{ range until 1000 }}{{ $_ := deepEqual $d $c }}{{ end }}",
    "{{ $k := BIG }}{{ $d := dict $k 1 }}{{ range until 1000 }}{{ $_ := toDecimal $d }}{{ end }}",
    "{{ $k := BIG }}{{ $d := dict (print $k) 1 }}{{ range until 100 }}{{ $_ := pluck $k $d $d $d $d $d $d $d $d $d $d }}{{ end }}",
    "{{ printf (repeat 500000 \"%[\") }}{{ range until 200 }}{{ $_ := printf (repeat 500000 \"%[\") }}{{ end }}",
    "{{ regexReplaceAll \"x\" BIG (repeat 1000000 \"$0\") }}",
    "{{ regexReplaceAll \"x*\" BIG (repeat 1000 \"$0\") }}",
    // Each match is one byte long, and looks at all that is left.
    "{{ regexFindAll \".*[^x]|[x]\" (repeat 100000 \"x\") -1 }}",
    // Nearly every byte leads into a state that was not there before.
    "{{ $x := \"\" }}{{ range $n := until 400 }}{{ $x = print $x (sha512sum (print $n)) }}{{ end }}\
     {{ regexMatch \"[0-9a-f]*[0-7][0-9a-f]{300}y\" $x }}",
    "{{ range $n := until 60 }}{{ regexMatch (print \"\\\\pL{20}\" $n) \"a\" }}{{ end }}",
];

#[test]
fn what_takes_more_work_or_memory_than_it_looks_like_is_refused_before_it_costs_much() {
    for text in EXPENSIVE {
        let result = render(&text.replace("BIG", "(repeat 1000000 \"x\")"));
        let fault = result.err().map(|error| error.fault);
        assert!(matches!(fault, Some(Fault::Limit(_))), "{text}: {fault:?}");
    }
    let forms = [
        format!("{{{{ range until 100000 }}}}{{{{ $_ := list{} }}}}{{{{ end }}}}", " 1".repeat(100_000)),
        format!(
            "{{{{ $d := dict }}}}{{{{ range until 100000 }}}}{{{{ $x := ${} }}}}{{{{ end }}}}",
            ".zz".repeat(100_000)
        ),
        format!(
            "{{{{ $b := 1 }}}}{}{{{{ range until 200000 }}}}{{{{ $b }}}}{{{{ end }}}}",
            "{{ $a := 1 }}".repeat(900)
        ),
        "{{ $a := 1 }}".repeat(2000),
    ];
    for text in forms {
        let fault = render(&text).unwrap_err().fault;
        assert!(matches!(fault, Fault::Limit(_)), "{}: {fault:?}", &text[..80]);
    }
}

#[test]
fn a_template_that_defines_another_many_times_is_parsed_in_time_that_grows_with_its_length() {
    let text = format!(
        "{{{{ define \"a\" }}}}{}x{{{{ end }}}}{}",
        " ".repeat(500_000),
        "{{define \"a\"}}{{end}}".repeat(20_000)
    );
    assert_eq!(render(&text).unwrap(), b"");
}

fn manifest(template_data: serde_json::Value) -> SealedSecretManifest {
    let manifest = json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"encryptedData": {"user": "AgBb", "password": "AgBc"}, "template": {"data": template_data}},
    });
    SealedSecretManifest::parse(&manifest).unwrap()
}

fn secret_data(template_data: serde_json::Value) -> BTreeMap<String, String> {
    let opened = [("user", "admin"), ("password", CANARY)];
    let opened = opened.map(|(key, value)| (key.to_owned(), SecretBytes::new(value.as_bytes().to_vec())));
    let data = manifest(template_data).secret_data(opened.into()).unwrap().into_iter();
    data.map(|(key, value)| (key, String::from_utf8(value.expose_secret().to_vec()).unwrap())).collect()
}

fn keys<'k>(entries: impl IntoIterator<Item = (&'k str, &'k str)>) -> BTreeMap<String, String> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn templates_add_keys_null_leaves_one_out_and_a_sealed_value_is_never_replaced() {
    let both = [("user", "admin"), ("password", CANARY)];
    assert_eq!(secret_data(json!({})), keys(both));
    assert_eq!(
        secret_data(json!({"url": "{{ .user }}:{{ .password }}@{{ .host }}", "host": "db{{ 1 }}"})),
        keys(both.into_iter().chain([("host", "db1"), ("url", "admin:canary-7f3a@db{{ 1 }}")]))
    );
    assert_eq!(secret_data(json!({"user": "{{ .user }}!", "password": null})), keys([("user", "admin")]));
    assert_eq!(secret_data(json!({"missing": null})), keys(both));
}

#[test]
fn every_template_that_fails_is_named_and_nothing_is_made() {
    let opened = || BTreeMap::from([("password".to_owned(), SecretBytes::new(CANARY.as_bytes().to_vec()))]);
    let sealed = manifest(json!({"a": "{{ fail .password }}", "b": "ok", "password": "\n{{ .password.x }}"}));
    let errors = sealed.secret_data(opened()).unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "the template of `a`, line 1: `fail` was called: the template gives up",
            "the template of `password`, line 2: a field is asked of a value that has none",
        ]
    );
    let too_long = manifest(json!({"a": "{{ repeat 600000 \"x\" }}", "b": "{{ repeat 600000 \"x\" }}"}));
    assert!(matches!(too_long.secret_data(opened()).unwrap_err()[0].source.fault, Fault::Limit(_)));
}

#[test]
fn templates_of_the_table_cut_at_any_place_are_rendered_or_refused() {
    for text in corpus() {
        for (cut, _) in text.char_indices().step_by(3) {
            let _ = render(&text[..cut]);
            let _ = render(&text[cut..]);
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    let names = signatures().map(|function| function.name).chain(REFUSED.iter().map(|(name, _)| *name));
    let names: Vec<&str> = names.collect();
    prop_oneof![
        proptest::sample::select(names).prop_map(str::to_owned),
        proptest::sample::select(vec![
            ".",
            "$",
            ".canary",
            ".missing",
            "$x",
            "nil",
            "true",
            "(",
            ")",
            "|",
            ":=",
            "=",
            ",",
            "if",
            "else",
            "end",
            "range",
            "with",
            "define",
            "template",
            "block",
            "break",
            "continue",
            "\"t\"",
            "`r`",
            "'c'",
            "0",
            "-1",
            "3",
            "1e9",
            "0x7fffffffffffffff",
            "}}",
            "{{",
            "-}}",
            "{{-",
            "/*",
            "*/",
            "\"%5d %v %#q\"",
            "\"[a-z]*\"",
            "list",
        ])
        .prop_map(str::to_owned),
        "[ -~\\n]{0,4}",
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_words_are_rendered_or_refused_the_same_way_twice(words in proptest::collection::vec(word(), 0..24)) {
        let text = format!("{{{{ {} }}}}", words.join(" "));
        let first = render(&text);
        prop_assert_eq!(&first, &render(&text));
        if let Err(error) = first {
            let told = format!("{error} {error:?}");
            prop_assert!(!told.contains(CANARY));
        }
    }

    #[test]
    fn any_text_is_rendered_or_refused(text in "(\\PC|\\{\\{|\\}\\}|\n){0,60}") {
        let _ = render(&text);
    }
}
