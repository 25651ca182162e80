//! What goes wrong with the lease.

/// Why the lease can't be had, or is lost.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The API server doesn't let the controller have a lease.
    #[error("the API server answered {code} when this controller asked for the lease {namespace}/{name}{}", hint(*code))]
    Refused {
        /// The namespace of the lease.
        namespace: String,
        /// The name of the lease.
        name: String,
        /// The status code of the answer.
        code: u16,
    },
    /// Another one leads now, or may have led meanwhile, so what this one knows may be wrong.
    #[error("the lease {namespace}/{name} is lost: {now}")]
    Lost {
        /// The namespace of the lease.
        namespace: String,
        /// The name of the lease.
        name: String,
        /// How the lease is now.
        now: String,
    },
    /// There is no connection for it.
    #[error("failed to set up the connection for the lease")]
    Connection,
}

fn hint(code: u16) -> &'static str {
    match code {
        401 => "; hint: its credentials are not accepted",
        403 => {
            "; hint: let it create leases of the group coordination.k8s.io in its namespace, and get, list, watch and update this one, \
             as the chart's Role does, or start it with --leader-election=false if there will never be a second one"
        }
        404 => "; hint: create the namespace of --namespace first",
        _ => "",
    }
}
