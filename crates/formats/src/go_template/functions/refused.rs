//! Functions that upstream has and Waxwing refuses, each with the reason.

const CLOCK: &str = "it reads the clock or a time zone, so the Secret would change by itself";
const RANDOM: &str = "it draws random values, so the Secret would change with every reconcile";
const DATE: &str = "dates are not supported";
const KEYS: &str = "keys, certificates and password hashes are not made in templates";
const URL: &str = "URLs are not taken apart in templates";
const WORDS: &str = "this way of changing words is not supported";
const CALL: &str = "there are no values that could be called";

/// The functions that are refused by name, with the reason.
pub const REFUSED: &[(&str, &str)] = &[
    ("call", CALL),
    ("ago", CLOCK),
    ("now", CLOCK),
    ("date", CLOCK),
    ("dateInZone", CLOCK),
    ("dateModify", CLOCK),
    ("date_in_zone", CLOCK),
    ("date_modify", CLOCK),
    ("htmlDate", CLOCK),
    ("htmlDateInZone", CLOCK),
    ("mustDateModify", CLOCK),
    ("must_date_modify", CLOCK),
    ("mustToDate", CLOCK),
    ("toDate", CLOCK),
    ("unixEpoch", CLOCK),
    ("duration", DATE),
    ("durationRound", CLOCK),
    ("randAlpha", RANDOM),
    ("randAlphaNum", RANDOM),
    ("randAscii", RANDOM),
    ("randBytes", RANDOM),
    ("randInt", RANDOM),
    ("randNumeric", RANDOM),
    ("shuffle", RANDOM),
    ("uuidv4", RANDOM),
    ("bcrypt", RANDOM),
    ("htpasswd", RANDOM),
    ("encryptAES", RANDOM),
    ("decryptAES", KEYS),
    ("derivePassword", KEYS),
    ("buildCustomCert", KEYS),
    ("genCA", RANDOM),
    ("genCAWithKey", RANDOM),
    ("genPrivateKey", RANDOM),
    ("genSelfSignedCert", RANDOM),
    ("genSelfSignedCertWithKey", RANDOM),
    ("genSignedCert", RANDOM),
    ("genSignedCertWithKey", RANDOM),
    ("urlJoin", URL),
    ("urlParse", URL),
    ("abbrevboth", WORDS),
    ("camelcase", WORDS),
    ("initials", WORDS),
    ("kebabcase", WORDS),
    ("snakecase", WORDS),
    ("swapcase", WORDS),
    ("wrap", WORDS),
    ("wrapWith", WORDS),
];
