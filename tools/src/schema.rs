//! JSON schemas of arguments and answers (draft 2020-12, as MCP asks), in the words that every client's
//! dialect knows.

use rmcp::model::JsonObject;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

/// Schema of a tool's arguments: an object at the root, its title left out.
pub(crate) fn input_schema<T: JsonSchema>() -> JsonObject {
    let mut schema = schema_of::<T>(SchemaSettings::draft2020_12());
    schema
        .entry("properties")
        .or_insert_with(|| Value::Object(JsonObject::new()));
    schema
}

/// Schema of a tool's structured content, as it is serialised.
pub(crate) fn output_schema<T: JsonSchema>() -> JsonObject {
    schema_of::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn schema_of<T: JsonSchema>(settings: SchemaSettings) -> JsonObject {
    let settings = settings.with_transform(RecursiveTransform(portable));
    let schema = settings.into_generator().into_root_schema_for::<T>();
    match Value::from(schema) {
        Value::Object(mut object) => {
            object.remove("title");
            object
        }
        // `true` and `false` are schemas too; neither is a root that MCP takes.
        _ => JsonObject::new(),
    }
}

/// Keywords that say something about a schema and not about a value.
const NOTES: [&str; 4] = ["$schema", "title", "description", "default"];

/// One type in each schema, and no formats that only Rust has.
fn portable(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    let of_rust = |format: &Value| {
        let format = format.as_str().unwrap_or_default();
        format.starts_with("int") || format.starts_with("uint")
    };
    if object.get("format").is_some_and(of_rust) {
        object.remove("format");
    }
    let Some(Value::Array(types)) = object.get("type").cloned() else {
        return;
    };
    object.remove("type");
    let (notes, rules): (JsonObject, JsonObject) = std::mem::take(object)
        .into_iter()
        .partition(|(keyword, _)| NOTES.contains(&keyword.as_str()));
    let branches = types.into_iter().map(|kind| {
        if kind == "null" {
            return json!({ "type": "null" });
        }
        let mut branch = rules.clone();
        branch.insert("type".into(), kind);
        Value::Object(branch)
    });
    let branches: Value = branches.collect();
    object.extend(notes);
    object.insert("anyOf".into(), branches);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Sample {
        /// How many.
        #[serde(default)]
        count: Option<u64>,
        name: String,
    }

    #[test]
    fn a_nullable_field_is_told_in_branches_of_one_type() {
        let schema = input_schema::<Sample>();
        let count = &schema["properties"]["count"];
        assert_eq!(
            count["anyOf"],
            json!([{ "type": "integer", "minimum": 0 }, { "type": "null" }])
        );
        assert_eq!(count["description"], "How many.");
        assert_eq!(schema["properties"]["name"], json!({ "type": "string" }));
    }
}
