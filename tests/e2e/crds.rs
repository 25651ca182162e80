//! The definitions of the custom resources on a real API server: what it takes, what it refuses and what it says then.

use waxwing_harness::Failure;

use crate::stage::{Alone, workspace};

fn git_source(spec: &str) -> String {
    format!(
        "apiVersion: waxwing.dev/v1alpha1\nkind: GitSource\nmetadata: {{name: tried, namespace: default}}\nspec: {spec}\n"
    )
}

fn sync(spec: &str) -> String {
    format!(
        "apiVersion: waxwing.dev/v1alpha1\nkind: Sync\nmetadata: {{name: tried, namespace: default}}\nspec: {spec}\n"
    )
}

fn backend(spec: &str) -> String {
    format!(
        "apiVersion: waxwing.dev/v1alpha1\nkind: SecretBackend\nmetadata: {{name: tried, namespace: default}}\nspec: {spec}\n"
    )
}

fn of_cluster(allow: &str) -> String {
    leading_to("vault: {address: 'https://v:8200', auth: {tokenRef: {name: a}}}", allow)
}

/// Returns a backend of the cluster that leads to this service.
fn leading_to(service: &str, allow: &str) -> String {
    format!(
        "apiVersion: waxwing.dev/v1alpha1\nkind: ClusterSecretBackend\nmetadata: {{name: tried}}\n\
         spec: {{{service}, allow: {allow}}}\n"
    )
}

fn making(auth: &str, dynamic: &str) -> String {
    backend(&format!(
        "{{vault: {{address: 'https://v:8200', auth: {auth}, dynamic: [{dynamic}]}}, allow: {{paths: [a]}}}}"
    ))
}

fn by_login(auth: &str) -> String {
    backend(&format!("{{vault: {{address: 'https://v:8200', auth: {auth}}}, allow: {{paths: [a/b]}}}}"))
}

fn stored(paths: &str, more: &str) -> String {
    backend(&format!(
        "{{vault: {{address: 'https://v:8200', auth: {{tokenRef: {{name: a}}}}}}, allow: {{paths: {paths}}}{more}}}"
    ))
}

#[test]
fn the_api_server_takes_the_definitions_without_a_warning_and_every_good_object() -> Result<(), Failure> {
    let alone = Alone::new();
    let cluster = alone.cluster();
    let replace = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename"];
    let finished = cluster.kubectl_call(&replace).arg(workspace().join("crds")).run()?;
    assert_eq!(finished.stderr, "");
    let good = [
        git_source("{url: 'https://git.example.com/fleet.git'}"),
        git_source("{url: 'https://git.example.com/fleet.git', ref: {tag: v1.4.0}, interval: 1h30m, timeout: 90s}"),
        git_source("{url: 'file:///srv/fleet.git', ref: {commit: 1f3d0c1be4b0d0b2f7f7ab0e0d5a4f1d6b1f0a7c}}"),
        git_source(
            "{url: 'http://localhost:3000/fleet', ref: {branch: feat/größe}, secretRef: {name: auth}, suspend: true}",
        ),
        sync("{sourceRef: {name: fleet}}"),
        sync(
            "{sourceRef: {name: fleet}, path: ./clusters/prod, prune: {maxPercent: 100}, serviceAccountName: deployer}",
        ),
        sync(
            "{sourceRef: {name: fleet}, path: clusters/..hidden, secrets: {bindInto: [ConfigMap, argoproj.io/Application]}}",
        ),
        sync(
            "{sourceRef: {name: fleet}, ignore: [{target: {kind: apps/Deployment}, paths: [/spec/replicas]}, \
             {paths: [/webhooks/0/clientConfig/caBundle, /metadata/annotations/example.com~1seen]}]}",
        ),
        sync(
            "{sourceRef: {name: fleet}, secrets: {plaintext: Warn, keysFrom: [{secretRef: {name: sops-age}}]}, wait: false}",
        ),
        sync("{sourceRef: {name: fleet}, secrets: {backends: [{name: vault}, {kind: SecretBackend, name: aws}]}}"),
        sync(
            "{sourceRef: {name: fleet}, secrets: {backends: [{name: vault}, {name: aws}], foreignReferences: {argocdVaultPlugin: vault, \
             vals: {vault: vault, awsssm: aws, azurekeyvault: {shop-vault: azure}, versionedEngines: [secret, team/kv-2]}}}}",
        ),
        sync(
            "{sourceRef: {name: fleet}, secrets: {backends: [{name: vault}], foreignReferences: {argocdVaultPlugin: vault}}}",
        ),
        backend(
            "{vault: {address: 'https://vault.example.com:8200', namespace: team-a, auth: {kubernetes: {mount: clusters/prod, \
             role: shop, audience: vault}}}, allow: {keys: ['transit/keys/{namespace}']}}",
        ),
        backend(
            "{vault: {address: 'https://[::1]:8200', auth: {tokenRef: {name: token}}}, allow: {keys: [transit/keys/a]}}",
        ),
        by_login("{jwt: {role: shop, audience: vault}}"),
        by_login("{jwt: {mount: clusters/prod, role: shop, audience: vault}}"),
        by_login("{appRole: {roleId: a-b, secretRef: {name: a}}}"),
        by_login("{appRole: {mount: x, roleId: a-b, secretRef: {name: a}, wrapped: true}}"),
        by_login("{cert: {secretRef: {name: a}}}"),
        by_login("{cert: {mount: x, role: shop, secretRef: {name: a}}}"),
        sync("{sourceRef: {name: fleet}, secrets: {backends: [{kind: ClusterSecretBackend, name: vault}]}}"),
        of_cluster("{namespaces: {names: [shop]}, paths: ['secret/data/{namespace}/*']}"),
        of_cluster(
            "{namespaces: {matchLabels: {a.example/b: c}}, keys: ['transit/keys/{namespace}'], paths: ['a/{namespace}']}",
        ),
        of_cluster(
            "{namespaces: {names: [shop, bank]}, paths: [secret/data/shared], keys: [transit/keys/a], shared: true}",
        ),
        leading_to("kubernetes: {}", "{namespaces: {names: [shop]}, paths: ['shared/{namespace}']}"),
        leading_to(
            "aws: {region: eu-west-1, auth: {secretRef: {name: a}}}",
            "{namespaces: {names: [shop]}, paths: ['ssm/{namespace}/*']}",
        ),
        stored("['secret/data/{namespace}/*', '*/..x/.y/...', 'kv/a b', 'kv/größe']", ""),
        stored("[a/b], keys: [transit/keys/a]", ", refreshInterval: 1h30m"),
        stored("[a/b]", ", limits: {concurrentRequests: 1, requestsPerSecond: 50}"),
        stored("[a/b]", ", limits: {}"),
        backend(
            "{aws: {region: us-gov-west-1, auth: {secretRef: {name: aws}}}, allow: {paths: ['secretsmanager/{namespace}/*', ssm/db]}}",
        ),
        backend("{gcp: {auth: {secretRef: {name: a}}}, allow: {paths: ['projects/acme/secrets/{namespace}']}}"),
        backend("{kubernetes: {}, allow: {paths: ['shared/*', '{namespace}/db']}}"),
        backend("{aws: {auth: {secretRef: {name: aws}}}, allow: {keys: ['arn:aws:kms:eu-west-1:111122223333:key/*']}}"),
        backend(
            "{aws: {auth: {webIdentity: {roleArn: 'arn:aws:iam::111122223333:role/shop', audience: sts.amazonaws.com}}}, \
             allow: {keys: ['arn:aws:kms:eu-west-1:111122223333:alias/{namespace}']}}",
        ),
        backend(
            "{gcp: {auth: {workloadIdentity: {provider: projects/1/locations/global/workloadIdentityPools/p/providers/q, audience: w, \
             serviceAccount: shop@acme.iam.gserviceaccount.com}}}, \
             allow: {keys: ['projects/acme/locations/*/keyRings/r/cryptoKeys/{namespace}']}}",
        ),
        backend(
            "{gcp: {auth: {secretRef: {name: google}}}, allow: {keys: ['projects/p/locations/l/keyRings/r/cryptoKeys/*']}}",
        ),
        backend(
            "{azure: {vaultUrl: 'https://shop.vault.azure.net', auth: {tenantId: shop.example, clientId: a-b, \
             workloadIdentity: {audience: 'api://AzureADTokenExchange'}}}, allow: {keys: ['keys/{namespace}']}}",
        ),
        backend(
            "{azure: {vaultUrl: 'https://shop.vault.azure.net', auth: {tenantId: t, clientId: c, secretRef: {name: azure}}}, \
             allow: {keys: [keys/a]}}",
        ),
    ];
    let create = ["create", "--dry-run=server", "--validate=strict", "--filename=-"];
    let finished = cluster.kubectl_call(&create).stdin(good.join("---\n")).run()?;
    assert_eq!((finished.status.success(), finished.stderr), (true, String::new()));
    assert_eq!(String::from_utf8_lossy(&finished.stdout).lines().count(), good.len());
    Ok(())
}

#[test]
fn the_api_server_refuses_what_is_wrong_and_says_why() -> Result<(), Failure> {
    let alone = Alone::new();
    let cluster = alone.cluster();
    let good = "url: 'https://git.example.com/fleet.git'";
    let source = |more: &str| git_source(&format!("{{{good}, {more}}}"));
    let from = |more: &str| sync(&format!("{{sourceRef: {{name: fleet}}, {more}}}"));
    for (object, said) in [
        (git_source("{}"), "spec.url"),
        (git_source("{url: 'ssh://git.example.com/fleet.git'}"), "spec.url in body should match"),
        (git_source("{url: 'https://me:hunter2@git.example.com/x'}"), "credentials may not stand in the address"),
        (git_source("{url: 'https://git.example.com/x?token=a'}"), "no query and no fragment"),
        (source("ref: {branch: main, tag: v1}"), "exactly one of branch, tag and commit must be set"),
        (source("ref: {}"), "exactly one of branch, tag and commit must be set"),
        (source("ref: {branch: a..b}"), "a branch has no two dots in a row"),
        (source("ref: {branch: -force}"), "spec.ref.branch in body should match"),
        (source("ref: {commit: 1f3d0c1}"), "spec.ref.commit"),
        (source("interval: 0s"), "a length of time is at least 1s"),
        (source("interval: soon"), "spec.interval in body should match"),
        (source("timeout: 500ms"), "spec.timeout in body should match"),
        (source("sshKey: x"), "unknown field \"spec.sshKey\""),
        (sync("{}"), "spec.sourceRef"),
        (sync("{sourceRef: {name: Fleet}}"), "spec.sourceRef.name in body should match"),
        (from("path: /etc"), "may not leave it"),
        (from("path: a/../../b"), "may not leave it"),
        (from("path: ''"), "spec.path"),
        (from("prune: {maxPercent: 0}"), "spec.prune.maxPercent"),
        (from("prune: {maxPercent: 101}"), "spec.prune.maxPercent"),
        (from("secrets: {plaintext: Maybe}"), "Unsupported value: \"Maybe\""),
        (from("secrets: {bindInto: [apps/v1/Deployment]}"), "spec.secrets.bindInto[0] in body should match"),
        (from("secrets: {bindInto: [ConfigMap, ConfigMap]}"), "Duplicate value"),
        (from("secrets: {keysFrom: [{}]}"), "spec.secrets.keysFrom[0].secretRef"),
        (from("secrets: {backends: [{kind: Secret, name: x}]}"), "Unsupported value: \"Secret\""),
        (from("secrets: {backends: [{}]}"), "spec.secrets.backends[0].name"),
        (from("secrets: {backends: [{name: ../../bank/secretbackends/vault}]}"), "spec.secrets.backends[0].name"),
        (from("secrets: {foreignReferences: {argocdVaultPlugin: vault}}"), "names a backend that backends does not"),
        (
            from("secrets: {backends: [{name: vault}], foreignReferences: {vals: {awsssm: aws}}}"),
            "names a backend that backends does not",
        ),
        (from("secrets: {foreignReferences: {vals: {exec: vault}}}"), "unknown field"),
        (
            from(
                "secrets: {backends: [{name: v}], foreignReferences: {vals: {vault: v, versionedEngines: ['a/../b']}}}",
            ),
            "versionedEngines[0] in body should match",
        ),
        (backend("{allow: {keys: [a]}}"), "exactly one of vault, aws, gcp, azure and kubernetes must be set"),
        (backend("{aws: {auth: {secretRef: {name: a}}}}"), "spec.allow"),
        (backend("{aws: {auth: {secretRef: {name: a}}}, allow: {keys: []}}"), "keys or paths must be listed"),
        (backend("{aws: {auth: {secretRef: {name: a}}}, allow: {}}"), "keys or paths must be listed"),
        (
            backend("{aws: {auth: {secretRef: {name: a}}}, allow: {paths: [a/b]}}"),
            "aws.region must be set where allow.paths is",
        ),
        (
            backend("{aws: {region: 'eu.west/1', auth: {secretRef: {name: a}}}, allow: {paths: [a/b]}}"),
            "spec.aws.region in body should match",
        ),
        (backend("{kubernetes: {}, allow: {keys: [a]}}"), "allow.keys is for key services, which kubernetes is not"),
        (backend("{kubernetes: {}, gcp: {auth: {secretRef: {name: a}}}, allow: {paths: [a]}}"), "exactly one of vault"),
        (stored("['secret/data/**']", ""), "spec.allow.paths[0] in body should match"),
        (stored("['secret/data/shop-*']", ""), "spec.allow.paths[0] in body should match"),
        (stored("['secret//data']", ""), "spec.allow.paths[0] in body should match"),
        (stored("['secret/data/../x']", ""), "spec.allow.paths[0] in body should match"),
        (stored("['./data']", ""), "spec.allow.paths[0] in body should match"),
        (stored("['/secret/data/x']", ""), "spec.allow.paths[0] in body should match"),
        (stored("['secret/data/%2e%2e/x']", ""), "spec.allow.paths[0] in body should match"),
        (stored("['secret/{name}/x']", ""), "spec.allow.paths[0] in body should match"),
        (stored("[a/b, a/b]", ""), "Duplicate value"),
        (stored("[a/b]", ", refreshInterval: 0s"), "a length of time is at least 1s"),
        (stored("[a/b]", ", refreshInterval: 25h"), "it is at most 24h"),
        (stored("[a/b]", ", limits: {concurrentRequests: 0}"), "spec.limits.concurrentRequests"),
        (stored("[a/b]", ", limits: {requestsPerSecond: 10001}"), "spec.limits.requestsPerSecond"),
        (stored("[a/b]", ", refreshInterval: often"), "spec.refreshInterval in body should match"),
        (backend("{aws: {auth: {}}, allow: {keys: [a]}}"), "exactly one of webIdentity and secretRef must be set"),
        (
            backend("{aws: {auth: {webIdentity: {roleArn: 'arn:aws:iam::1:role/shop-role'}}}, allow: {keys: [a]}}"),
            "spec.aws.auth.webIdentity.audience",
        ),
        (
            backend("{vault: {address: 'https://v:8200', auth: {kubernetes: {role: shop}}}, allow: {keys: [a]}}"),
            "spec.vault.auth.kubernetes.audience",
        ),
        (
            backend("{vault: {address: 'https://v:8200', auth: {}}, allow: {keys: [a]}}"),
            "exactly one of kubernetes, jwt, appRole, cert and tokenRef must be set",
        ),
        (
            backend(
                "{vault: {address: 'https://v:8200', namespace: 'team-ä', auth: {tokenRef: {name: a}}}, allow: {paths: [a]}}",
            ),
            "a namespace on the server is of printable ASCII without spaces",
        ),
        (
            by_login("{jwt: {role: a, audience: b}, cert: {secretRef: {name: a}}}"),
            "exactly one of kubernetes, jwt, appRole, cert and tokenRef must be set",
        ),
        (by_login("{jwt: {role: shop}}"), "spec.vault.auth.jwt.audience"),
        (by_login("{appRole: {roleId: a}}"), "spec.vault.auth.appRole.secretRef"),
        (by_login("{appRole: {secretRef: {name: a}}}"), "spec.vault.auth.appRole.roleId"),
        (by_login("{cert: {mount: /x, secretRef: {name: a}}}"), "spec.vault.auth.cert.mount in body should match"),
        (by_login("{cert: {mount: x//y, secretRef: {name: a}}}"), "spec.vault.auth.cert.mount in body should match"),
        (by_login("{jwt: {mount: x/../y, role: a, audience: b}}"), "spec.vault.auth.jwt.mount in body should match"),
        (
            by_login("{kubernetes: {mount: x/, role: a, audience: b}}"),
            "spec.vault.auth.kubernetes.mount in body should match",
        ),
        (
            backend("{vault: {address: 'http://v:8200', auth: {cert: {secretRef: {name: a}}}}, allow: {keys: [a]}}"),
            "auth.cert needs an address that begins with https://",
        ),
        (making("{tokenRef: {name: a}}", "{path: database/creds/a}"), "dynamic needs a login of its own"),
        (
            making("{jwt: {role: a, audience: b}}", "{path: 'database/**'}"),
            "spec.vault.dynamic[0].path in body should match",
        ),
        (making("{jwt: {role: a, audience: b}}", "{path: a/b, revokeAfter: 25h}"), "it is at most 24h"),
        (of_cluster("{paths: ['a/{namespace}']}"), "spec.allow.namespaces"),
        (of_cluster("{namespaces: {}, paths: ['a/{namespace}']}"), "names or matchLabels must be listed"),
        (
            of_cluster("{namespaces: {names: ['*']}, paths: ['a/{namespace}']}"),
            "spec.allow.namespaces.names[0] in body should match",
        ),
        (of_cluster("{namespaces: {names: [shop]}}"), "keys or paths must be listed"),
        (
            leading_to(
                "kubernetes: {}, gcp: {auth: {secretRef: {name: a}}}",
                "{namespaces: {names: [a]}, paths: ['{namespace}/a']}",
            ),
            "exactly one of vault, aws, gcp, azure and kubernetes must be set",
        ),
        (
            leading_to("kubernetes: {}", "{namespaces: {names: [a]}, keys: ['{namespace}']}"),
            "allow.keys is for key services, which kubernetes is not",
        ),
        (
            leading_to("kubernetes: {}", "{namespaces: {names: [a]}, paths: [shared/db]}"),
            "each of paths needs {namespace}",
        ),
        (
            leading_to(
                "aws: {auth: {secretRef: {name: a}}}",
                "{namespaces: {names: [a]}, paths: ['ssm/{namespace}/a']}",
            ),
            "aws.region must be set where allow.paths is",
        ),
        (of_cluster("{namespaces: {names: [shop]}, paths: ['a/{namespace}', a/b]}"), "each of paths needs {namespace}"),
        (of_cluster("{namespaces: {names: [shop]}, keys: ['transit/keys/*']}"), "each of keys needs {namespace}"),
        // A file that names no role would get by the role's.
        (
            leading_to(
                "aws: {auth: {secretRef: {name: a}}}",
                "{namespaces: {names: [a]}, keys: ['arn:aws:kms:eu-west-1:1:key/*+arn:aws:iam::1:role/{namespace}']}",
            ),
            "each of keys needs {namespace}",
        ),
        (
            backend("{vault: {address: 'https://me@vault:8200', auth: {tokenRef: {name: a}}}, allow: {keys: [a]}}"),
            "spec.vault.address in body should match",
        ),
        (
            backend("{vault: {address: 'https://vault/path', auth: {tokenRef: {name: a}}}, allow: {keys: [a]}}"),
            "spec.vault.address in body should match",
        ),
        (backend("{gcp: {auth: {}}, allow: {keys: [a]}}"), "exactly one of workloadIdentity and secretRef must be set"),
        (
            backend("{gcp: {auth: {workloadIdentity: {provider: projects/1, audience: a}}}, allow: {keys: [a]}}"),
            "spec.gcp.auth.workloadIdentity.provider in body should match",
        ),
        (
            backend(
                "{azure: {vaultUrl: 'http://v.vault.azure.net', auth: {tenantId: t, clientId: c, secretRef: {name: a}}}, allow: {keys: [a]}}",
            ),
            "spec.azure.vaultUrl in body should match",
        ),
        (
            backend(
                "{azure: {vaultUrl: 'https://v.vault.azure.net', auth: {tenantId: a/b, clientId: c, secretRef: {name: a}}}, allow: {keys: [a]}}",
            ),
            "spec.azure.auth.tenantId in body should match",
        ),
        (
            backend(
                "{azure: {vaultUrl: 'https://v.vault.azure.net', auth: {tenantId: t, clientId: c}}, allow: {keys: [a]}}",
            ),
            "exactly one of workloadIdentity and secretRef must be set",
        ),
        (from("ignore: [{}]"), "spec.ignore[0].paths"),
        (from("ignore: [{paths: []}]"), "spec.ignore[0].paths"),
        (from("ignore: [{paths: [spec/replicas]}]"), "spec.ignore[0].paths[0] in body should match"),
        (from("ignore: [{paths: [/spec/~2]}]"), "spec.ignore[0].paths[0] in body should match"),
        (from("ignore: [{paths: [/kind]}]"), "may be left to others"),
        (from("ignore: [{paths: [/metadata/name]}]"), "may be left to others"),
        (from("ignore: [{paths: [/metadata/labels]}]"), "may be left to others"),
        (from("ignore: [{paths: [/metadata/labels/waxwing.dev~1sync]}]"), "may be left to others"),
        (from("serviceAccountName: 'a b'"), "spec.serviceAccountName in body should match"),
    ] {
        let refusal = cluster.try_yaml(&object).map_or_else(|failure| format!("{failure:?}"), |()| String::new());
        assert!(refusal.contains(said), "{object}\n{refusal}");
    }
    Ok(())
}

#[test]
fn one_line_of_kubectl_get_says_whether_it_is_fine_and_since_when() -> Result<(), Failure> {
    let alone = Alone::new();
    let cluster = alone.cluster();
    cluster.apply_yaml(&sync("{sourceRef: {name: fleet}}").replace("tried", "shown"))?;
    let status = r#"{"status": {"lastAppliedRevision": "main@sha1:1f3d0c1b", "counts": {"objects": 12}, "conditions": [{
        "type": "Ready", "status": "False", "reason": "MacMismatch", "message": "db.yaml was changed without sops",
        "lastTransitionTime": "2026-01-02T03:04:05Z"}]}}"#;
    cluster.kubectl(&["patch", "wxs", "shown", "--subresource=status", "--type=merge", "--patch", status])?;

    let of_the_category = cluster.kubectl(&["get", "waxwing", "--output=name"])?;
    assert!(of_the_category.contains("sync.waxwing.dev/shown"), "{of_the_category}");
    let table = cluster.kubectl(&["get", "wxs", "shown"])?;
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next().unwrap_or_default(), ["NAME", "READY", "SINCE", "REVISION", "STATUS", "AGE"]);
    let line = lines.next().expect("one object").join(" ");
    assert!(line.starts_with("shown False "), "{line}");
    assert!(line.contains(" main@sha1:1f3d0c1b db.yaml was changed without sops "), "{line}");
    cluster.kubectl(&["delete", "wxs", "shown"]).map(drop)
}

#[test]
fn an_inventory_holds_a_thousand_entries_and_never_changes_hands() -> Result<(), Failure> {
    let alone = Alone::new();
    let cluster = alone.cluster();
    let entry = |number: usize| {
        format!(
            r#"{{"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "default", "name": "d{number}",
            "uid": "6f3a0f0e-6a54-4a7e-9a55-0d8f6d3d0a3b", "digest": "{0}", "fieldMark": {{"digest": "{0}",
            "time": "2026-01-02T03:04:05Z"}}, "state": "Applied"}}"#,
            "a".repeat(64)
        )
    };
    let inventory = |count: usize, sync: &str| {
        let entries: Vec<_> = (0..count).map(entry).collect();
        format!(
            r#"{{"apiVersion": "waxwing.dev/v1alpha1", "kind": "Inventory", "metadata": {{"name": "tried-0", "namespace": "default"}},
            "spec": {{"sync": {{"name": "{sync}", "uid": "u"}}, "shard": 0, "entries": [{}]}}}}"#,
            entries.join(",")
        )
    };
    let apply = ["apply", "--server-side", "--filename", "-"];
    cluster.kubectl_call(&apply).stdin(inventory(1000, "shop")).text()?;
    for (object, said) in [
        (inventory(1001, "shop"), "must have at most 1000 items"),
        (inventory(1, "other"), "an inventory never changes hands"),
    ] {
        let finished = cluster.kubectl_call(&apply).stdin(object).run()?;
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
    }
    cluster.kubectl(&["delete", "inventories.waxwing.dev", "tried-0"]).map(drop)
}
