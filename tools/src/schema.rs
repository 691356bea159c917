//! JSON schemas of arguments and answers (draft 2020-12, as MCP asks).

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

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
