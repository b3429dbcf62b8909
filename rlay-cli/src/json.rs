//! Values as JSON for people and programs, and the arguments of environments out of JSON.

use rlay::{Error, ErrorKind, Map, Result, Value};
use serde_json::{Value as Json, json};

/// A value as JSON that reads well: what JSON does not have is shown as Python would.
pub(crate) fn of(value: &Value) -> Json {
    match value {
        Value::None => Json::Null,
        Value::Bool(x) => json!(x),
        Value::Int(x) => json!(x),
        Value::Float(x) if x.is_finite() => json!(x),
        Value::Str(text) => json!(text),
        Value::List(items) | Value::Tuple(items) => items.iter().map(of).collect(),
        Value::Dict(map) => {
            let key = |key: &Value| key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned);
            Json::Object(map.0.iter().map(|(k, x)| (key(k), of(x))).collect())
        }
        other => json!(format!("{other:?}")),
    }
}

/// The keyword arguments that a JSON object stands for.
pub(crate) fn kwargs(text: &str) -> Result<Value> {
    let bad = |why: String| Error::new(ErrorKind::Usage, format!("--env-kwargs {text}: {why}; give {{\"size\": 5}}"));
    match serde_json::from_str(text).map_err(|e| bad(e.to_string()))? {
        Json::Object(object) => Ok(value(Json::Object(object))),
        _ => Err(bad("it is no JSON object".to_owned())),
    }
}

fn value(json: Json) -> Value {
    match json {
        Json::Null => Value::None,
        Json::Bool(x) => x.into(),
        Json::Number(x) => match (x.as_i64(), x.as_u64()) {
            (Some(x), _) => x.into(),
            (None, Some(x)) => x.into(),
            _ => x.as_f64().unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => text.into(),
        Json::Array(items) => Value::List(items.into_iter().map(value).collect()),
        Json::Object(object) => Value::Dict(object.into_iter().map(|(k, x)| (k, value(x))).collect::<Map>()),
    }
}
