//! Proves that the upstream programs are there in the pinned versions, and that they work with each other.

use waxwing_harness::{Failure, Upstream};

#[test]
fn each_program_tells_its_pinned_version() -> Result<(), Failure> {
    let upstream = Upstream::new()?;
    assert!(upstream.sops(&["--version"])?.text()?.starts_with("sops 3.13.3"));
    assert_eq!(upstream.age(&["--version"])?.text()?, "v1.3.2\n");
    assert_eq!(upstream.kubeseal(&["--version"])?.text()?, "kubeseal version: 0.40.0\n");
    assert_eq!(upstream.kustomize(&["version"])?.text()?, "v5.8.2\n");
    Ok(())
}

#[test]
fn sops_opens_what_it_sealed_to_a_new_age_key() -> Result<(), Failure> {
    let upstream = Upstream::new()?;
    let key = upstream.age_keygen()?;
    let plain = "password: hunter2\n";
    let typed = ["--input-type=yaml", "--output-type=yaml"];
    let seal = ["encrypt", "--age", key.recipient.as_str(), "/dev/stdin"];
    let sealed = upstream.sops(&seal[..3])?.args(typed).arg(seal[3]).stdin(plain).text()?;
    assert!(sealed.contains("ENC[AES256_GCM,"), "{sealed}");
    let open = upstream.sops(&["decrypt"])?.args(typed).arg("/dev/stdin").env("SOPS_AGE_KEY", &key.identity);
    assert_eq!(open.stdin(sealed.clone()).text()?, plain);
    let stranger = upstream.age_keygen()?;
    let refused = upstream.sops(&["decrypt"])?.args(typed).arg("/dev/stdin").env("SOPS_AGE_KEY", &stranger.identity);
    assert!(!refused.stdin(sealed).run()?.status.success());
    Ok(())
}

#[test]
fn kustomize_renders_a_folder() -> Result<(), Failure> {
    let upstream = Upstream::new()?;
    let folder = upstream.home().join("base");
    std::fs::create_dir(&folder)
        .and_then(|()| {
            std::fs::write(
                folder.join("kustomization.yaml"),
                "namePrefix: my-\nconfigMapGenerator: [{name: a, literals: [b=c]}]\n",
            )
        })
        .expect("the home of the programs is writable");
    let rendered = upstream.kustomize(&["build", "base"])?.text()?;
    assert!(rendered.contains("name: my-a-"), "{rendered}");
    Ok(())
}
