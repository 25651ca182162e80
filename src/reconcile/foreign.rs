//! Which references of other tools a Sync has read, as the render takes it.

use waxwing_formats::reference::{ForeignStores, Form, Provider, SecretPath};

use crate::api::{ForeignReferences, Secrets, ValsReferences};

/// Returns the backends that stand for the stores of other tools. A name that no resource can have stands for none.
pub fn foreign_stores(secrets: &Secrets) -> ForeignStores {
    let Some(ForeignReferences { argocd_vault_plugin, vals }) = &secrets.foreign_references else {
        return ForeignStores::default();
    };
    let ValsReferences { vault, openbao, awssecrets, awsssm, gcpsecrets, azurekeyvault, versioned_engines } = vals;
    let forms = [
        (Form::ArgocdVaultPlugin, argocd_vault_plugin),
        (Form::Vals(Provider::Vault), vault),
        (Form::Vals(Provider::OpenBao), openbao),
        (Form::Vals(Provider::AwsSecrets), awssecrets),
        (Form::Vals(Provider::AwsSsm), awsssm),
        (Form::Vals(Provider::GcpSecrets), gcpsecrets),
    ];
    let of_one = forms.into_iter().filter_map(|(form, store)| Some((form, None, store.as_ref()?)));
    let of_azure = azurekeyvault.iter();
    let of_azure = of_azure.map(|(vault, store)| (Form::Vals(Provider::AzureKeyVault), Some(vault.clone()), store));
    let engines = versioned_engines.iter().filter_map(|engine| engine.0.parse::<SecretPath>().ok());
    of_one
        .chain(of_azure)
        .filter_map(|(form, vault, store)| Some((form, vault, store.parse().ok()?)))
        .fold(ForeignStores::default(), |stores, (form, vault, store)| stores.with(form, vault, store))
        .with_versioned_engines(engines)
}
