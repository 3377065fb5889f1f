//! How values that are written as text look in the published JSON Schema. Nothing here is read at
//! run time: these types stand in for the real ones in `#[schemars(with = …)]`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Declares the schema of a text.
macro_rules! texts {
    ($($name:ident: $title:literal, $schema:tt;)*) => {$(
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $title.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

texts! {
    ChannelWord: "Channel", { "type": "string", "enum": ["sms", "voice"] };
    ClassWord: "Class", { "type": "string", "enum": ["otp", "transactional"] };
    CountryText: "Country", { "type": "string", "pattern": "^[A-Za-z]{2}$", "examples": ["DE"] };
    HoursText: "Hours", {
        "type": "string",
        "pattern": "^\\d{2}:\\d{2}-\\d{2}:\\d{2} \\S+$",
        "examples": ["22:00-06:00 Europe/Prague"]
    };
    LanguageText: "Language", {
        "type": "string", "pattern": "^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$", "examples": ["en", "pt-BR"]
    };
    PrefixText: "Prefix", { "type": "string", "pattern": "^\\+?[1-9]\\d{0,14}$", "examples": ["+1876"] };
    RateText: "Rate", { "type": "string", "pattern": "^\\d+ ?/ ?\\w+$", "examples": ["200/s", "5/10m"] };
    SecretTable: "Secret", {
        "description": "A reference to a secret; never the secret itself.",
        "type": "object",
        "properties": {
            "credential": { "type": "string", "description": "Name of a systemd credential." },
            "env": { "type": "string", "description": "Name of an environment variable." },
            "file": { "type": "string", "description": "Path of a file." }
        },
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1
    };
    SenderText: "Sender", { "type": "string", "minLength": 1, "maxLength": 16, "examples": ["Acme", "+12025550100"] };
    SizeText: "Size", { "type": "string", "pattern": "^\\d+ ?([KMG]i)?B$", "examples": ["64KiB"] };
    SpanText: "Duration", {
        "type": "string", "pattern": "^(\\d+(ms|s|m|h|d))+$", "examples": ["3s", "500ms", "1h30m"]
    };
    UrlText: "Url", { "type": "string", "pattern": "^https?://", "examples": ["https://sms.example.com"] };
}

/// `sqlite:…` in clear, or a reference.
pub(super) struct StoreUrl;

impl JsonSchema for StoreUrl {
    fn schema_name() -> Cow<'static, str> {
        "StoreUrl".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let secret = generator.subschema_for::<SecretTable>();
        json_schema!({ "anyOf": [{ "type": "string", "examples": ["sqlite:data/gateway.db"] }, secret] })
    }
}

/// A hash in clear, or a reference to a hash or a key.
pub(super) struct KeyText;

impl JsonSchema for KeyText {
    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let secret = generator.subschema_for::<SecretTable>();
        json_schema!({ "anyOf": [{ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" }, secret] })
    }
}

/// One value or a list of them.
pub(super) struct OneOrMany<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// `sender_by_country`: two letters of either case to a sender.
pub(super) fn senders_by_country(generator: &mut SchemaGenerator) -> Schema {
    let sender = generator.subschema_for::<SenderText>();
    json_schema!({ "type": "object", "patternProperties": { "^[A-Za-z]{2}$": sender }, "additionalProperties": false })
}

/// Providers: the common keys, open for those of the kind.
pub(super) fn providers(generator: &mut SchemaGenerator) -> Schema {
    let mut common = generator.subschema_for::<super::Common>();
    if let Some(inner) = generator.definitions_mut().get_mut("Common").and_then(|schema| schema.as_object_mut()) {
        inner.remove("additionalProperties");
        common = generator.subschema_for::<super::Common>();
    }
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": "^[a-z][a-z0-9_]*$" },
        "additionalProperties": common
    })
}

impl JsonSchema for super::Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let language = "^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$";
        let texts = json_schema!({
            "type": "object", "patternProperties": { language: { "type": "string" } }, "additionalProperties": false
        });
        json_schema!({
            "description": "One message text in its languages: the language is the key.",
            "type": "object",
            "properties": {
                "allow_links": { "type": "boolean", "default": false, "description": "Whether variables may hold links." },
                "autofill_domain": { "type": "string", "description": "Adds the line `@DOMAIN #CODE` by which phones offer the code to that site only." },
                "client": { "type": "object", "additionalProperties": texts, "description": "Texts of single applications, by client id." },
                "tenants": { "type": "array", "items": { "type": "string" }, "description": "Tenants that may use this template; without the key every one." }
            },
            "patternProperties": { language: { "type": "string" } },
            "additionalProperties": false
        })
    }
}
