//! References: what is one, where it ends, what each mistake is called, and that no spelling leads past a pattern.

#![allow(clippy::unwrap_used, reason = "a test stops where it stands")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use waxwing_formats::reference::{
    Content, Decode, ForeignStores, Form, MAX_BYTES, Mapped, PathPattern, Pointer, Provider, Reference, ReferenceError,
    SecretPath, StoreKind, StoreName, decoded,
};

fn parsed(text: &str) -> Result<Reference, ReferenceError> {
    text.parse()
}

/// Says what the pieces of a text are.
fn described(text: &str) -> String {
    let mut lines = String::new();
    for piece in Reference::find(text) {
        let what = match piece.content {
            Content::Text => "text".to_owned(),
            Content::Reference(reference) => format!("reference {reference}"),
            Content::Malformed(error) => format!("malformed: {error} ({})\n    hint: {}", error.name(), error.hint()),
            Content::Foreign(foreign) => {
                let store: StoreName = "s".parse().unwrap();
                let native = foreign.native(&store).map(|native| native.to_string());
                let refused = foreign.names.as_ref().and_then(|names| names.as_ref().err());
                let needs: Vec<_> = foreign.needs.iter().map(|need| format!("\n    {need}")).collect();
                let refused = refused.map(|error| format!("\n    refused: {error}")).unwrap_or_default();
                format!("{:?} -> {}{refused}{}", foreign.form, native.as_deref().unwrap_or("none"), needs.concat())
            }
        };
        lines.push_str(&format!("  {:?}: {what}\n", piece.raw));
    }
    lines
}

fn table(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("{text:?}\n{}", described(text))).collect()
}

#[test]
fn references_are_found_where_they_stand_and_end_where_they_say() {
    insta::assert_snapshot!(table(&[
        "",
        "nothing of the kind: ref, ref+, ref+store:/a, <path:a>, <b>",
        "ref+store://vault/secret/data/shop/db#/password",
        "ref+store://vault/secret/data/shop/db#/password+",
        "ref+clusterstore://aws/prod/db",
        "ref+store://vault/secret/db?version=3&decode=base64#/tls/key",
        "ref+store://vault/secret/db?decode=base64&version=3#/tls/key",
        "ref+store://v/a?refresh=10s&version=3",
        "ref+store://v/a?refresh=120s",
        "ref+store://v/a?refresh=1440m",
        "postgres://ref+store://v/db#/user+:ref+store://v/db#/password+@db:5432/shop",
        "ref+store://v/a+ref+store://v/b",
        "A=ref+store://v/a#/x\nB=ref+store://v/b#/y\r\n",
        "xref+store://v/a",
        "ref+store://v/my%20db#/a%2Bb",
        "ref+store://v/%64b#/%7e0~1",
        "ref+store://v/arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf@x=y~z",
        "ref+store://v/gr%C3%B6%C3%9Fe",
        "ref+store://v.w-1/a#/100%25",
    ]));
}

#[test]
fn what_only_begins_as_a_reference_is_malformed_and_said_why_without_its_text() {
    let long = format!("ref+store://v/{}", "a".repeat(MAX_BYTES));
    let many = format!("ref+store://{}/a", "a".repeat(254));
    let version = format!("ref+store://v/a?version={}", "1".repeat(129));
    let texts = [
        "ref+stores://v/a",
        "ref+Store://v/a",
        "secretref+store://v/a",
        "ref+store://v/a b",
        "ref+store://v/a\"",
        "ref+store://v/größe",
        "{\"a\": \"ref+store://v/a\", \"b\": 1}",
        "ref+store://v/aref+store://v/b+",
        "ref+store://v/asecretref+vault://v/b+",
        "ref+store://v/a{{ .Values.x }}",
        "ref+store://",
        "ref+store:///a",
        "ref+store://V/a",
        "ref+store://v_1/a",
        "ref+store://-v/a",
        "ref+store://v%2Fa/b",
        "ref+store://user@v/a",
        "ref+store://v:8200/a",
        "ref+store://v",
        "ref+store://v/",
        "ref+store://v//a",
        "ref+store://v/a/",
        "ref+store://v/a//b",
        "ref+store://v/./a",
        "ref+store://v/a/../b",
        "ref+store://v/a/%2e%2e/b",
        "ref+store://v/a/.%2E/b",
        "ref+store://v/a%2Fb",
        "ref+store://v/a%2f..%2fb",
        "ref+store://v/a%5Cb",
        "ref+store://v/%252e%252e/b",
        "ref+store://v/%2",
        "ref+store://v/%zz",
        "ref+store://v/%c0%ae%c0%ae/b",
        "ref+store://v/%ff",
        "ref+store://v/a%00",
        "ref+store://v/a%0a",
        "ref+store://v/a%e2%80%ae",
        "ref+store://v/a\0",
        "ref+store://v/a?refresh=0s",
        "ref+store://v/a?refresh=25h",
        "ref+store://v/a?refresh=99999h",
        "ref+store://v/a?refresh=000060s",
        "ref+store://v/a?refresh=60",
        "ref+store://v/a?refresh=s",
        "ref+store://v/a?refresh=1m30s",
        "ref+store://v/a?refresh=+60s",
        "ref+store://v/a?refresh=1m&refresh=1m",
        "ref+store://v/a?",
        "ref+store://v/a?region=eu",
        "ref+store://v/a?version=1&version=2",
        "ref+store://v/a?version=",
        "ref+store://v/a?version=1%20",
        "ref+store://v/a?decode=hex",
        "ref+store://v/a#",
        "ref+store://v/a#key",
        "ref+store://v/a#/",
        "ref+store://v/a#/b//c",
        "ref+store://v/a#/b~2",
        "ref+store://v/a#/b%2Fc",
        "ref+store://v/a#/b#/c",
        "ref+store://v/a#/b?version=1",
    ];
    insta::assert_snapshot!(table(&texts));
    let texts = texts.into_iter().chain([long.as_str(), many.as_str(), version.as_str()]);
    let errors = texts.map(|text| {
        let found = Reference::find(text).into_iter().map(|piece| piece.content);
        let mut errors =
            found.filter_map(|found| if let Content::Malformed(error) = found { Some(error) } else { None });
        errors.next().unwrap()
    });
    let mut errors: Vec<_> = errors.collect();
    errors.sort();
    errors.dedup();
    assert_eq!(errors, ReferenceError::ALL, "each mistake is shown");
}

#[test]
fn references_of_other_tools_are_recognized_with_what_they_name_and_what_they_need() {
    insta::assert_snapshot!(table(&[
        "ref+vault://secret/data/shop/db#/password",
        "ref+vault://kv/shop/db?address=https://evil.example.com&token_env=T&version=2#/password",
        "ref+openbao://secret/data/db/password",
        "secretref+vault://secret/data/db#password+",
        "ref+awssecrets://prod/db?region=eu-west-1&version_id=0a1b#/user",
        "ref+awsssm://shop/db/password?version=4",
        "ref+awsssm:///shop#/db/password",
        "ref+awsssm://shop/db?mode=singleparam#/user",
        "ref+gcpsecrets://project-1/db?version=3&optional=true",
        "ref+azurekeyvault://vault-1/db/0a1b#/user",
        "ref+vault://secret/data/my db#/a, and more",
        "[\"ref+vault://secret/data/db#/a\",",
        "ref+vault://secret/data/../db#/a",
        "ref+vault://secret%2fdata/db#/a",
        "ref+vault://ref+vault://a/b+",
        "ref+vault://a/b?secret_id=hunter2&unheard=hunter2#/c",
        "ref+awskms://AQICAH?key=alias/a",
        "ref+echo://hunter2",
        "ref+exec://bin/sh",
        "ref+sops://secrets.yaml#/a",
        "<path:secret/data/shop/db#password>",
        "<path:secret/data/db#password#3 | base64decode>",
        "user=<path:secret/data/db#user>;password=<path:secret/data/db#password | base64encode>",
        "<path:secret/data/db#json | jsonPath {.a} | base64encode>",
        "<path:secret/data/db#json | rot13>",
        "<path:arn:aws:secretsmanager:eu-west-1:111122223333:secret:db#user>",
        "<path:secret/../db#password>",
        "<path:secret/data/db#>",
        "<path:secret/data/db\n#a>",
        "<path:a<path:secret/data/db#a>",
    ]));
}

#[test]
fn what_a_secret_has_in_base64_is_read_only_where_a_reference_is_in_it() {
    let text = "ref+store://v/a#/b";
    assert_eq!(decoded(&STANDARD.encode(text)).map(|text| text.to_string()).as_deref(), Some(text));
    assert!(decoded(&STANDARD.encode("ref+store://v/..")).is_some(), "a mistake is found too");
    for other in [text.to_owned(), STANDARD.encode("hunter2"), STANDARD.encode([0xff, 0xfe]), String::new()] {
        assert!(decoded(&other).is_none(), "{other}");
    }
    assert!(decoded(&STANDARD.encode(STANDARD.encode(text))).is_none(), "it is decoded once");
}

#[test]
fn a_path_is_allowed_by_itself_and_by_patterns_of_its_segments() {
    let allows = |pattern: &str, path: &str| {
        pattern.parse::<PathPattern>().unwrap().allows(&path.parse::<SecretPath>().unwrap(), "shop")
    };
    for (pattern, path) in [
        ("secret/data/shop/db", "secret/data/shop/db"),
        ("secret/data/{namespace}/*", "secret/data/shop/db"),
        ("secret/data/{namespace}/*", "secret/data/sh%6Fp/d%62"),
        ("*/*", "a/b"),
        ("größe", "gr%C3%B6%C3%9Fe"),
    ] {
        assert!(allows(pattern, path), "{pattern} {path}");
    }
    for (pattern, path) in [
        ("secret/data/shop/db", "secret/data/shop/db2"),
        ("secret/data/shop/db", "secret/data/shop/DB"),
        ("secret/data/shop", "secret/data/shop/db"),
        ("secret/data/{namespace}/*", "secret/data/bank/db"),
        ("secret/data/{namespace}/*", "secret/data/shop"),
        ("secret/data/{namespace}/*", "secret/data/shop/db/more"),
        ("secret/data/{namespace}/*", "secret/data/%7Bnamespace%7D/db"),
        ("*", "a/b"),
    ] {
        assert!(!allows(pattern, path), "{pattern} {path}");
    }
}

#[test]
fn what_is_no_pattern_of_paths_is_refused() {
    let patterns = ["", "/a", "a/", "a//b", "a/**", "a*", "a/{name}", "a/..", "a/.", "a/%2e%2e", "a\\b", "a/\0"];
    let refusals = patterns.map(|pattern| pattern.parse::<PathPattern>().unwrap_err().to_string());
    insta::assert_snapshot!(refusals.join("\n"));
}

fn segment() -> impl Strategy<Value = String> {
    "[a-c.*{}+ #?&=:@~éß-]{1,4}".prop_filter("a segment", |text| SecretPath::new([text.clone()]).is_ok())
}

fn key() -> impl Strategy<Value = String> {
    "[a-c.~/%+ #?é]{1,4}"
}

prop_compose! {
    fn reference()(
        is_cluster in any::<bool>(),
        store in "[a-z0-9]([a-z0-9-]{0,3}[a-z0-9])?(\\.[a-z])?",
        path in prop::collection::vec(segment(), 1..4),
        version in prop::option::of("[A-Za-z0-9._-]{1,8}"),
        is_encoded in any::<bool>(),
        refresh in prop::option::of(1..=86_400_u32),
        keys in prop::collection::vec(key(), 0..3),
    ) -> Reference {
        Reference {
            kind: if is_cluster { StoreKind::Cluster } else { StoreKind::Namespaced },
            store: store.parse().unwrap(),
            path: SecretPath::new(path).unwrap(),
            version: version.map(|version| version.parse().unwrap()),
            decode: is_encoded.then_some(Decode::Base64),
            refresh: refresh.map(|seconds| format!("{seconds}s").parse().unwrap()),
            pointer: Pointer::new(keys).unwrap(),
        }
    }
}

/// Writes each byte of a text as it is or as an escape, as `choices` say.
fn spelled(text: &str, choices: &[u8]) -> String {
    let choices = choices.iter().chain(std::iter::repeat(&0));
    let spell = |(byte, choice): (u8, &u8)| match choice % 3 {
        1 => format!("%{byte:02X}"),
        2 => format!("%{byte:02x}"),
        _ if byte.is_ascii_alphanumeric() || b"-._~:@=".contains(&byte) => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().zip(choices).map(spell).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reference_is_read_as_it_was_printed(reference in reference()) {
        let text = reference.to_string();
        prop_assert_eq!(parsed(&text), Ok(reference.clone()));
        prop_assert_eq!(parsed(&format!("{text}+")), Ok(reference.clone()));
        let around = format!("a {text}+ b");
        let pieces = Reference::find(&around);
        let contents: Vec<_> = pieces.into_iter().map(|piece| piece.content).collect();
        prop_assert_eq!(contents, [Content::Text, Content::Reference(reference), Content::Text]);
    }

    #[test]
    fn the_pieces_of_any_text_are_that_text(text in "(ref\\+|secret|store|vault|://|<path:|[a-c/#?+%>~.\" \n=&]|%2|\\PC){0,40}") {
        let pieces = Reference::find(&text);
        let whole: String = pieces.iter().map(|piece| piece.raw).collect();
        prop_assert_eq!(&whole, &text);
        for piece in pieces {
            if let Content::Reference(reference) = piece.content {
                prop_assert_eq!(parsed(&reference.to_string()), Ok(reference));
            }
        }
    }

    #[test]
    fn no_spelling_of_a_path_outside_of_a_pattern_is_allowed_by_it(
        segments in prop::collection::vec(prop_oneof![Just("a".to_owned()), Just("shop".to_owned()), segment(), Just("..".to_owned()), Just("a/b".to_owned()), Just("%2e".to_owned())], 1..5),
        choices in prop::collection::vec(any::<u8>(), 0..40),
        pattern in prop::collection::vec(prop_oneof![Just("*"), Just("{namespace}"), Just("a"), Just("shop")], 1..5),
    ) {
        let mut rest = choices.as_slice();
        let spelled: Vec<_> = segments.iter().map(|segment| {
            let (own, more) = rest.split_at(segment.len().min(rest.len()));
            rest = more;
            spelled(segment, own)
        }).collect();
        let is_fine = |segment: &String| ![".", ".."].contains(&segment.as_str()) && !segment.contains(['/', '%']);
        let matches = |(pattern, segment): (&&str, &String)| match *pattern {
            "*" => true,
            "{namespace}" => segment == "shop",
            literal => segment == literal,
        };
        let is_within = segments.iter().all(is_fine) && pattern.len() == segments.len() && pattern.iter().zip(&segments).all(matches);
        let pattern: PathPattern = pattern.join("/").parse().unwrap();
        let allowed = parsed(&format!("ref+store://v/{}", spelled.join("/"))).is_ok_and(|reference| pattern.allows(&reference.path, "shop"));
        prop_assert_eq!(allowed, is_within);
    }

    #[test]
    fn a_pattern_is_read_as_it_was_printed(text in "(\\*|\\{namespace\\}|[a-c/é.])(/(\\*|\\{namespace\\}|[a-cé.]{1,3})){0,3}") {
        if let Ok(pattern) = text.parse::<PathPattern>() {
            prop_assert_eq!(pattern.to_string(), text);
        }
    }
}

#[test]
fn debug_output_of_a_part_of_a_text_does_not_show_the_part() {
    let pieces = Reference::find("hunter2 ref+store://v/a ref+nobody://hunter3");
    let debug = format!("{pieces:?}");
    assert!(!debug.contains("hunter") && debug.contains("[REDACTED; 8 bytes]"), "{debug}");
}

/// The stores that stand for those of other tools.
fn stores() -> ForeignStores {
    let name = |name: &str| name.parse::<StoreName>().unwrap();
    ForeignStores::default()
        .with(Form::ArgocdVaultPlugin, None, name("avp"))
        .with(Form::Vals(Provider::Vault), None, name("vault"))
        .with(Form::Vals(Provider::AzureKeyVault), Some("shop-vault".to_owned()), name("azure"))
        .with_versioned_engines(["secret".parse().unwrap(), "team/kv".parse().unwrap()])
}

#[test]
fn references_of_other_tools_are_read_refused_by_name_or_left_alone() {
    let mut table = String::new();
    for text in [
        "<path:secret/data/db#key>",
        "<path:secret/data/db#key#3>",
        "<path:secret/data/db#key | base64decode>",
        "<path:secret/data/db#key | base64encode>",
        "<path:secret/data/db#key | jsonPath {.a}>",
        "<path:secret/data/../bank/db#key>",
        "<path:secret/data/db#>",
        "ref+vault://secret/db#/key",
        "ref+vault://secret/data/db#/key",
        "ref+vault://secret#/key",
        "ref+vault://team/kv/db/key",
        "ref+vault://kv1/db?version=2#/key",
        "secretref+vault://secret/db#/key",
        "ref+vault://secret/db?address=https://evil.example:8200#/key",
        "ref+vault://secret/db?token_env=HUNTER2#/key",
        "ref+vault://secret/db?namespace=bank#/key",
        "ref+vault://secret/db?hunter2=hunter2#/key",
        "ref+vault://secret/%2e%2e/db#/key",
        "ref+vault://secret/a%2fb#/key",
        "ref+azurekeyvault://shop-vault/db/0123",
        "ref+azurekeyvault://other-vault/db",
        "ref+openbao://secret/db#/key",
        "ref+awssecrets://db?region=eu#/key",
        "ref+exec://bin/sh",
    ] {
        let pieces = Reference::find(text);
        let [piece] = pieces.as_slice() else { panic!("{text}") };
        let Content::Foreign(foreign) = &piece.content else { panic!("{text}") };
        let told = match stores().read(foreign) {
            None => "text".to_owned(),
            Some(Ok(Mapped { reference, is_encoded })) => {
                format!("{reference}{}", if is_encoded { ", encoded" } else { "" })
            }
            Some(Err(error)) => format!("{}: {error}; {}", error.name(), error.hint()),
        };
        assert!(!told.contains("evil") && !told.contains("hunter2") && !told.contains("HUNTER2"), "{told}");
        table.push_str(&format!("{text}\n  {told}\n"));
    }
    insta::assert_snapshot!(table);
}
