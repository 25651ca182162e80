//! What can keep a benchmark from being run. Being slow is not among it.

use std::fmt;

use waxwing_harness::Failure;

/// Why a benchmark could not be run.
#[derive(Debug)]
pub(crate) enum Error {
    /// There is no benchmark of this name.
    Unknown {
        /// What was asked for.
        name: String,
        /// The names of those that there are.
        known: String,
    },
    /// A setting makes no sense.
    Setting(&'static str),
    /// A real part could not be started or used.
    Part(Failure),
    /// The API server refused a request of the benchmark.
    Api(Box<kube::Error>),
    /// Something else that the benchmark needs went wrong.
    Other(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, known } => {
                write!(f, "there is no benchmark {name}\nhint: there are {known}")
            }
            Self::Setting(why) => f.write_str(why),
            Self::Part(failure) => write!(f, "{failure:?}"),
            Self::Api(error) => write!(f, "the API server refused a request of the benchmark: {error}"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Part(failure)
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

/// Makes an error of whatever else went wrong.
pub(crate) fn other(error: impl fmt::Display) -> Error {
    Error::Other(error.to_string())
}
