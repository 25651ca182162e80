//! The status of a SealedSecret: `observedGeneration` and the condition Synced, as the Sealed Secrets controller writes them, and
//! always with the current message.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use waxwing_formats::sealed_secret::{API_VERSION, KIND};

use super::object::{SYNCED, SealedSecret, synced_condition};

/// Returns the resource with the status that says what came of it, none where it says so already. What was `written` anew is told
/// by the time alone, since what is newer than the status has not been looked at.
pub(super) fn resource(object: &SealedSecret, trouble: Option<&str>, written: bool, now: Timestamp) -> Option<Value> {
    let told = object.status();
    let before = synced_condition(&told);
    let text = |field: &str| before.and_then(|before| before.get(field)?.as_str());
    let status = if trouble.is_none() { "True" } else { "False" };
    let turns = text("status") != Some(status);
    let observed = told.get("observedGeneration").and_then(Value::as_i64);
    let says_so = !turns
        && text("message").unwrap_or_default() == trouble.unwrap_or_default()
        && observed == object.metadata.generation;
    if says_so && !written {
        return None;
    }
    let now = whole_seconds(now);
    let since = text("lastTransitionTime").filter(|_| !turns).map_or_else(|| now.clone(), str::to_owned);
    let mut synced = Map::new();
    synced.insert("type".to_owned(), SYNCED.into());
    synced.insert("status".to_owned(), status.into());
    synced.insert("lastUpdateTime".to_owned(), now.into());
    synced.insert("lastTransitionTime".to_owned(), since.into());
    synced.extend(trouble.map(|message| ("message".to_owned(), message.into())));
    let others = told.get("conditions").and_then(Value::as_array).into_iter().flatten();
    let others = others.filter(|condition| condition.get("type").is_some_and(|kind| kind != SYNCED)).cloned();
    let conditions: Vec<Value> = [Value::Object(synced)].into_iter().chain(others).collect();
    let status = json!({"observedGeneration": object.metadata.generation, "conditions": conditions});
    Some(json!({"apiVersion": API_VERSION, "kind": KIND, "status": status}))
}

fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(status: Value) -> SealedSecret {
        let object =
            json!({"metadata": {"name": "a", "namespace": "n", "generation": 2}, "spec": {}, "status": status});
        serde_json::from_value(object).unwrap()
    }

    fn synced(status: &str, message: &str) -> Value {
        let time = "2026-01-01T00:00:00Z";
        json!({"observedGeneration": 2, "conditions": [{"type": "Synced", "status": status, "message": message,
            "lastUpdateTime": time, "lastTransitionTime": time}]})
    }

    fn told(status: Value, trouble: Option<&str>, written: bool) -> Option<Value> {
        let now = "2026-01-02T03:04:05.678Z".parse().unwrap();
        resource(&object(status), trouble, written, now).map(|resource| resource["status"]["conditions"][0].clone())
    }

    #[test]
    fn a_status_is_written_when_it_would_say_something_else_or_the_secret_was_written() {
        assert_eq!(told(synced("True", ""), None, false), None);
        assert_eq!(told(synced("False", "a"), Some("a"), false), None);
        let told_anew = told(synced("False", "a"), Some("b"), false).unwrap();
        assert_eq!([&told_anew["message"], &told_anew["lastTransitionTime"]], ["b", "2026-01-01T00:00:00Z"]);
        let turned = told(synced("False", "a"), None, true).unwrap();
        let now = "2026-01-02T03:04:05Z";
        let expected = json!({"type": "Synced", "status": "True", "lastUpdateTime": now, "lastTransitionTime": now});
        assert_eq!(turned, expected);
        assert_eq!(told(synced("True", ""), None, true).unwrap()["lastUpdateTime"], now);
        assert_eq!(told(Value::Null, None, true).unwrap(), expected);
    }
}
