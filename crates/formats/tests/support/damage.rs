//! Ways to damage a sealed file, each a good fixture and an edit of its text.

use regex::{Captures, Regex};

/// One defect.
pub struct Defect {
    /// What was done, as a sentence fragment.
    pub name: &'static str,
    /// The good fixture that it was done to, with its extension.
    pub base: &'static str,
    /// The edit.
    pub edit: fn(String) -> String,
}

/// All defects. Every one must be refused.
pub const DEFECTS: &[Defect] = &[
    defect("a sealed value was changed", "yaml-secret.yaml", |t| flip(t, "password: ENC[AES256_GCM,data:")),
    defect("a tag was changed", "yaml-secret.yaml", |t| {
        edit(t, r"tag:([^,]+),type:str\]\n    config", |c| c[0].replace(&c[1], "AAAAAAAAAAAAAAAAAAAAAA=="))
    }),
    defect("a plain value was changed", "yaml-secret.yaml", |t| t.replace("namespace: shop", "namespace: prod")),
    defect("a plain value was removed", "yaml-secret.yaml", |t| t.replace("    namespace: shop\n", "")),
    defect("a plain value was added", "yaml-secret.yaml", |t| t.replace("type: Opaque", "type: Opaque\nextra: x")),
    defect("a sealed value was removed", "yaml-secret.yaml", |t| {
        edit(t, r"    token: ENC.*\n", |_| "    x: null\n".into())
    }),
    defect("a sealed value was emptied", "yaml-secret.yaml", |t| edit(t, r"token: ENC.*", |_| "token: \"\"".into())),
    defect("a sealed value was replaced by a plain one", "yaml-secret.yaml", |t| {
        edit(t, r"token: ENC.*", |_| "token: mine".into())
    }),
    defect("a sealed value was replaced by a number", "yaml-secret.yaml", |t| {
        edit(t, r"token: ENC.*", |_| "token: 42".into())
    }),
    defect("a sealed value was moved to another key", "yaml-secret.yaml", |t| {
        t.replace("    token: ENC", "    other: ENC")
    }),
    defect("two items of a list were swapped", "yaml-comments-lists.yaml", |t| swap_lines(&t, 1, 3)),
    defect("a sealed value was moved to another section", "ini.ini", |t| {
        let line = Regex::new("key +(= ENC.*)\n").unwrap().find(&t).unwrap().as_str().to_owned();
        t.replace(&line, "").replace("[empty]\n", &format!("[empty]\n{line}"))
    }),
    defect("a plain value of a section was changed", "ini.ini", |t| t.replace("clear text", "clear  text")),
    defect("a sealed comment of a key was changed", "ini.ini", |t| flip(t, "; ENC[AES256_GCM,data:")),
    defect("a key was added behind a line separator in a comment", "yaml-secret.yaml", |t| {
        format!("# about\u{2028}added: mine\n{t}")
    }),
    defect("a section stands twice", "ini.ini", |t| t.replace("[empty]", "[empty]\n[empty]")),
    defect("a key of a section stands twice", "ini.ini", |t| t.replace("empty ", "quoted = x\nempty ")),
    defect("an unsealed list was reordered", "yaml-scalars-unencrypted.yaml", |t| {
        t.replace("        - 1\n        - two\n", "        - two\n        - 1\n")
    }),
    defect("the documents were reordered", "yaml-multi-document.yaml", |t| {
        let mut documents: Vec<&str> = t.split("---\n").collect();
        documents.reverse();
        documents.join("---\n")
    }),
    defect("a document that was sealed by itself was appended", "yaml-secret.yaml", |t| {
        format!("{t}---\n{}", t.replace("mac: ENC[AES256_GCM,data:", "mac: ENC[AES256_GCM,data:AA"))
    }),
    defect("something follows a token", "yaml-secret.yaml", |t| {
        edit(t, r"(token: ENC.*\])", |c| format!("{}x", &c[1]))
    }),
    defect("a token has a part twice", "yaml-secret.yaml", |t| {
        edit(t, r"(token: ENC.*),type:str\]", |c| format!("{},type:int,type:str]", &c[1]))
    }),
    defect("a token lost a part", "yaml-secret.yaml", |t| edit(t, r"(token: ENC.*),tag:[^,]*", |c| c[1].to_owned())),
    defect("a token has no data", "yaml-secret.yaml", |t| {
        edit(t, r"(token: ENC.*),data:[^,]*", |c| format!("{},data:", &c[1]))
    }),
    defect("the base64 of a token was cut", "yaml-secret.yaml", |t| {
        edit(t, r"(token: ENC.*data:...)[^,]*", |c| c[1].to_owned())
    }),
    defect("the vector of a token was cut", "yaml-secret.yaml", |t| {
        edit(t, r"(token: ENC.*iv:)[^,]*", |c| format!("{}AAAA", &c[1]))
    }),
    defect("the tag of a token was cut", "yaml-secret.yaml", |t| {
        edit(t, r"(token: ENC.*tag:)[^,]*", |c| format!("{}AAAA", &c[1]))
    }),
    defect("a token has an unknown type", "yaml-secret.yaml", |t| {
        edit(t, r"(token: ENC.*type:)str", |c| format!("{}json", &c[1]))
    }),
    defect("a text claims to be an integer", "yaml-secret.yaml", |t| {
        edit(t, r"(token: ENC.*type:)str", |c| format!("{}int", &c[1]))
    }),
    defect("a text claims to be a boolean", "yaml-secret.yaml", |t| {
        edit(t, r"(token: ENC.*type:)str", |c| format!("{}bool", &c[1]))
    }),
    defect("a text claims to be a time", "yaml-secret.yaml", |t| {
        edit(t, r"(token: ENC.*type:)str", |c| format!("{}time", &c[1]))
    }),
    defect("a value claims to be a comment", "yaml-secret.yaml", |t| {
        edit(t, r"(token: ENC.*type:)str", |c| format!("{}comment", &c[1]))
    }),
    defect("a list item claims to be a comment", "yaml-comments-lists.yaml", |t| {
        edit(t, r"(- ENC.*type:)str", |c| format!("{}comment", &c[1]))
    }),
    defect("a sealed comment was changed", "yaml-comments.yaml", |t| flip(t, "#ENC[AES256_GCM,data:")),
    defect("a sealed comment was cut", "yaml-comments.yaml", |t| {
        edit(t, r"#ENC.*,tag:", |c| c[0][..30].to_owned() + "]")
    }),
    defect("a sealed comment claims to be a text", "yaml-comments.yaml", |t| {
        edit(t, r"(#ENC.*type:)comment", |c| format!("{}str", &c[1]))
    }),
    defect("a sealed list comment was changed", "yaml-comments-lists.yaml", |t| flip(t, "- ENC[AES256_GCM,data:")),
    defect("the code was removed", "yaml-secret.yaml", |t| edit(t, r"    mac: .*\n", |_| String::new())),
    defect("the code was emptied", "yaml-secret.yaml", |t| edit(t, r"    mac: .*\n", |_| "    mac: \"\"\n".into())),
    defect("the code was replaced by text", "yaml-secret.yaml", |t| {
        edit(t, r"    mac: .*\n", |_| "    mac: none\n".into())
    }),
    defect("the code was changed", "yaml-secret.yaml", |t| flip(t, "mac: ENC[AES256_GCM,data:")),
    defect("the time of the last change was changed", "yaml-secret.yaml", |t| {
        edit(t, r"lastmodified: .*", |_| "lastmodified: \"2020-01-01T00:00:00Z\"".into())
    }),
    defect("the time of the last change is no time", "yaml-secret.yaml", |t| {
        edit(t, r"lastmodified: .*", |_| "lastmodified: yesterday".into())
    }),
    defect("the time of the last change is missing", "yaml-secret.yaml", |t| {
        edit(t, r"    lastmodified: .*\n", |_| String::new())
    }),
    defect("the version is a list", "yaml-secret.yaml", |t| t.replace("version: 3.13.3", "version: [3, 13]")),
    defect("the version is a number", "yaml-secret.yaml", |t| t.replace("version: 3.13.3", "version: 3.13")),
    defect("the rule is not a valid expression", "yaml-secret.yaml", |t| {
        edit(t, r"encrypted_regex: .*", |_| "encrypted_regex: '('".into())
    }),
    defect("there are two rules", "yaml-secret.yaml", |t| {
        t.replace("    version:", "    encrypted_suffix: _x\n    version:")
    }),
    defect("the rule was widened", "yaml-secret.yaml", |t| {
        edit(t, r"encrypted_regex: .*", |_| "encrypted_regex: ''".into())
    }),
    defect("the rule was narrowed", "yaml-secret.yaml", |t| {
        edit(t, r"encrypted_regex: .*", |_| "encrypted_regex: ^data$".into())
    }),
    defect("only sealed values are to be hashed", "yaml-secret.yaml", |t| {
        t.replace("    version:", "    mac_only_encrypted: true\n    version:")
    }),
    defect("all values are to be hashed", "yaml-mac-only-encrypted.yaml", |t| {
        t.replace("mac_only_encrypted: true", "mac_only_encrypted: false")
    }),
    defect("there are no recipients", "yaml-secret.yaml", |t| {
        edit(t, r"(?s)    age:.*?    lastmod", |_| "    age: []\n    lastmod".into())
    }),
    defect("the recipients are text", "yaml-secret.yaml", |t| {
        edit(t, r"(?s)    age:.*?    lastmod", |_| "    age: me\n    lastmod".into())
    }),
    defect("the wrapped key is damaged", "yaml-secret.yaml", |t| {
        t.replacen("            -----BEGIN", "            -----BEGUN", 1)
    }),
    defect("the threshold is above the groups", "yaml-shamir.yaml", |t| {
        t.replace("shamir_threshold: 2", "shamir_threshold: 4")
    }),
    defect("the threshold is one", "yaml-shamir.yaml", |t| t.replace("shamir_threshold: 2", "shamir_threshold: 1")),
    defect("the threshold is negative", "yaml-shamir.yaml", |t| {
        t.replace("shamir_threshold: 2", "shamir_threshold: -1")
    }),
    defect("a key stands twice", "yaml-secret.yaml", |t| t.replace("type: Opaque", "type: Opaque\ntype: Opaque")),
    defect("a key stands twice in a later document", "yaml-multi-document.yaml", |t| {
        t.replace("d: null", "d: null\nd: null")
    }),
    defect("the block stands twice", "yaml-secret.yaml", |t| t + "sops: {}\n"),
    defect("the block is a text", "yaml-secret.yaml", |t| edit(t, r"(?s)\nsops:.*", |_| "\nsops: x\n".into())),
    defect("the block is missing", "yaml-secret.yaml", |t| edit(t, r"(?s)\nsops:.*", |_| "\n".into())),
    defect("a key is a number", "yaml-secret.yaml", |t| t.replace("type: Opaque", "5: Opaque")),
    defect("a later document is a list", "yaml-multi-document.yaml", |t| t + "---\n- x\n"),
    defect("a plain number is beyond 64 bits", "yaml-scalars-unencrypted.yaml", |t| {
        t.replace("int: 42", "int: 18446744073709551615")
    }),
    defect("the indentation is broken", "yaml-secret.yaml", |t| t.replace("    namespace: shop", "   namespace: shop")),
    defect("the file is cut", "yaml-secret.yaml", |t| t[..t.len() / 2].to_owned()),
    defect("the file is empty", "yaml-secret.yaml", |_| String::new()),
    defect("a JSON value was changed", "json-values.json", |t| flip(t, "\"text\": \"ENC[AES256_GCM,data:")),
    defect("a JSON key stands twice", "json-values.json", |t| t.replacen('{', "{\"int\": 1,", 1)),
    defect("something follows the JSON object", "json-values.json", |t| t + "{}"),
    defect("a plain JSON value was changed", "json-values.json", |t| t.replace("\"s\": \"x\"", "\"s\": \"y\"")),
    defect("a dotenv value was changed", "dotenv.env", |t| flip(t, "A=ENC[AES256_GCM,data:")),
    defect("a dotenv key stands twice", "dotenv.env", |t| {
        t.replacen("X_unencrypted=clear", "X_unencrypted=clear\nX_unencrypted=clear", 1)
    }),
    defect("a dotenv line has no value", "dotenv.env", |t| format!("JUNK\n{t}")),
    defect("the dotenv metadata have a gap", "dotenv.env", |t| {
        t.replace("sops_age__list_0__map_enc", "sops_age__list_1__map_enc")
    }),
    defect("a binary file has two values", "binary.bin", |t| t.replacen('{', "{\"x\": \"\",", 1)),
    defect("the bytes of a binary file were changed", "binary.bin", |t| flip(t, "\"data\": \"ENC[AES256_GCM,data:")),
    defect("the bytes of a binary file are a number", "binary.bin", |t| {
        edit(t, "\"data\": \"[^\"]*\"", |_| "\"data\": 1".into())
    }),
];

const fn defect(name: &'static str, base: &'static str, edit: fn(String) -> String) -> Defect {
    Defect { name, base, edit }
}

fn edit(text: String, pattern: &str, by: fn(&Captures<'_>) -> String) -> String {
    Regex::new(pattern).unwrap().replacen(&text, 1, by).into_owned()
}

/// Changes the letter that follows `place`.
fn flip(mut text: String, place: &str) -> String {
    let at = text.find(place).unwrap() + place.len();
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    text.replace_range(at..=at, other);
    text
}

fn swap_lines(text: &str, one: usize, two: usize) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines.swap(one + 1, two + 2);
    lines.concat()
}
